"""What the processes of a benchmark tell one another: JSON lines over their standard streams."""

from __future__ import annotations

import msgspec

API_KEY = "sk-bench"
"""What every request carries; the gateway knows its hash, and the limits of its owner."""


class Ports(msgspec.Struct, frozen=True):
    """The back end listens on these ports of 127.0.0.1."""

    ports: list[int]


class BackendReport(msgspec.Struct, frozen=True):
    """The back end's last words: what it did, and how late its ticks came (p99, seconds)."""

    requests: int
    events: int
    lag_p99: float


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The load of one measurement; rates are per second, times in seconds, sizes in bytes.

    Streams, small requests and big requests (body of `big_bytes`) arrive independently of the
    answers (open loop): at random times for `arrivals` seconds, or, if `together`, all streams in
    its first tenth.
    """

    targets: list[int]
    streams: int
    tokens: int
    gap: float
    arrivals: float
    seed: int
    stream_rate: float = 0.0
    together: bool = False
    small_rate: float = 0.0
    big_rate: float = 0.0
    big_bytes: int = 0


class Quantiles(msgspec.Struct, frozen=True):
    """A sample in short; seconds."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the client saw: failed requests by kind, and its own lateness (`lag_p99`, seconds)."""

    requests: int
    chunks: int
    reads: int
    most_open: int
    ttft: Quantiles
    gaps: Quantiles
    latency: Quantiles
    lag_p99: float
    errors: dict[str, int]

    @property
    def failed(self) -> str:
        """The failed requests by kind, in words; empty if there are none."""
        return ", ".join(f"{n} x {kind}" for kind, n in self.errors.items())
