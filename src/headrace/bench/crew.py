"""How many processes send, and who of them sends what.

One core reads so many events a second (`python -m bench.load` in the repository measures it); a
client that needs more than a part of that delays itself. On the other hand each more process takes
time from an engine on the same machine, so there is one as long as one is enough.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import msgspec

from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.bench.sender import units

_REQUESTS, _EVENTS = 5_000, 60_000
"""What one core sends and reads a second, on a slow server core."""
_SHARE = 0.25
"""Of a core that a process may be asked for: lateness begins long before it is busy."""
_FASTEST = 100.0
"""Tokens per second of one stream, where nothing is known."""


def crew_size(load: Load, asks: Sequence[Ask], cores: int | None = None) -> int:
    """Return how many processes are to send; 0 for this one, if the load says so."""
    if load.workers != "auto":
        return min(load.workers, max(len(asks), 1))
    most = max((cores or os.cpu_count() or 1) - 1, 1)
    return min(max(math.ceil(core_share(load, asks) / _SHARE), 1), most)


def core_share(load: Load, asks: Sequence[Ask]) -> float:
    """Return how much of one core the load's client will take, roughly."""
    if not asks:
        return 0.0
    mean = sum(ask.max_tokens for ask in asks) / len(asks)
    if load.concurrency is not None:
        events = load.concurrency * _FASTEST
        return events / mean / _REQUESTS + events / _EVENTS
    rate = _busiest_rate(asks)
    return rate / _REQUESTS + rate * mean / _EVENTS


def _busiest_rate(asks: Sequence[Ask]) -> float:
    """Return the requests per second of the busiest tenth, which is what must not be late."""
    times = sorted(ask.at or 0.0 for ask in asks)
    many = max(len(times) // 10, 1)
    spans = (later - first for first, later in zip(times, times[many:], strict=False))
    return many / max(min(spans, default=1.0), 0.1)


def parts(load: Load, asks: Sequence[Ask], count: int) -> list[tuple[Load, list[Ask]]]:
    """Return each process's load and asks: units in turn, clients as evenly as they divide."""
    dealt = units(asks)
    return [
        (
            msgspec.structs.replace(
                load,
                concurrency=_part(load.concurrency, index, count),
                most_in_flight=_part(load.most_in_flight, index, count),
            ),
            [ask for unit in dealt[index::count] for ask in unit],
        )
        for index in range(count)
    ]


def _part(total: int | None, index: int, count: int) -> int | None:
    return None if total is None else max(total // count + (index < total % count), 1)
