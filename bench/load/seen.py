"""What a client of the benchmark prints: what it cost, and how late it saw each token."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from time import process_time

import msgspec

from bench.stats import percentile


class Order(msgspec.Struct, frozen=True):
    """A load: so many requests of so many tokens each, `clients` at a time (closed loop)."""

    port: int
    requests: int
    tokens: int
    clients: int


class Seen(msgspec.Struct, frozen=True):
    """CPU and wall time in seconds; `late` are percentiles of seconds from sending to seeing."""

    requests: int
    chunks: int
    cpu: float
    wall: float
    late_p50: float
    late_p99: float

    @property
    def cpu_per_chunk(self) -> float:
        """Seconds."""
        return self.cpu / self.chunks

    @property
    def cpu_per_request(self) -> float:
        """Seconds."""
        return self.cpu / self.requests


def order() -> Order:
    """Return the order on the command line."""
    return msgspec.json.decode(sys.argv[1], type=Order)


def tell(requests: int, seen: Iterable[tuple[float, float]], cpu: float, wall: float) -> None:
    """Print what was seen: (sent, seen) of every token; `cpu` is process time at the beginning."""
    used = process_time() - cpu
    late = sorted(there - sent for sent, there in seen)
    print(msgspec.json.encode(_seen(requests, late, used, wall)).decode())


def _seen(requests: int, late: Sequence[float], cpu: float, wall: float) -> Seen:
    return Seen(requests, len(late), cpu, wall, percentile(late, 50), percentile(late, 99))
