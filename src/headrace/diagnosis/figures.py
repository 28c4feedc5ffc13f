"""Figures that several rules need: medians, the parts of a request's time, what harms it.

Two constants decide what counts. `ENOUGH`: of five figures the median is not moved by one odd one,
nor by two. `MANY`: one request in ten is what a 90th percentile shows; below it, a fault is rare
enough to be chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import TypeVar

from headrace.diagnosis.observation import Look, Observation, Outcome, Replica, Request
from headrace.traffic.quantile import quantile

T = TypeVar("T")

ENOUGH = 5
MANY = 0.1
MOSTLY = 0.75
"""Share of looks at which something must be so to be the state of things and no moment of it."""
FELT = 0.3
"""Share of a request's whole time below which a wait is not what its user complains about."""
SLOWER = 3
"""Times the quick requests' prefill: beyond what a busy step or two more explain."""


def known(values: Iterable[T | None]) -> list[T]:
    """Return those that are not None."""
    return [value for value in values if value is not None]


def median(values: Iterable[float | None]) -> float | None:
    """Return the middle of the known values; None: none."""
    return quantile(values, 0.5)


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the known values; None: none."""
    told = known(values)
    return fmean(told) if told else None


def whole(requests: Iterable[Request]) -> list[Request]:
    """Return the requests with a whole answer."""
    return [one for one in requests if one.outcome == Outcome.OK]


def ready(seen: Observation) -> list[Replica]:
    """Return the replicas that are ready, as far as anybody said."""
    return [one for one in seen.replicas if one.state in ("ready", None)]


def prefill(one: Request) -> float | None:
    """Seconds from leaving the engine's queue, where it tells, to the first token."""
    return None if one.engine is None else max(0.0, one.engine - (one.engine_queue or 0.0))


def decode(one: Request) -> float | None:
    """Seconds from the first token to the last."""
    if one.tpot is None or not one.output_tokens:
        return None
    return one.tpot * (one.output_tokens - 1)


def fresh(one: Request) -> int:
    """Tokens of the prompt that were not cached; 0 where nobody counted them."""
    return max(0, (one.prompt_tokens or 0) - (one.cached_tokens or 0))


def served(one: Request) -> float:
    """Seconds that it was with an engine: all but its waits at the gateway."""
    return max(0.0, one.duration - (one.held or 0.0) - (one.queued or 0.0))


def first_kept(one: Request) -> bool:
    """Whether the first token came as early as promised: then no wait before it is a fault."""
    return _within(one.ttft, one.promised_ttft)


def pace_kept(one: Request) -> bool:
    """Whether the tokens came as fast as promised."""
    return _within(one.tpot, one.promised_tpot)


def _within(seconds: float | None, promised: float | None) -> bool:
    return seconds is not None and promised is not None and seconds <= promised


def felt(seconds: float | None, one: Request) -> bool:
    """Whether that is so much of a request's time that its user would complain of it."""
    return seconds is not None and seconds >= FELT * one.duration


def hurts(seconds: float | None, one: Request) -> bool:
    """Whether that wait before the first token is felt, and broke what was promised of it."""
    return felt(seconds, one) and not first_kept(one)


def lost(seconds: Iterable[float], seen: Observation) -> float:
    """Return those seconds as a share of all that the requests took."""
    total = sum(one.duration for one in seen.requests)
    return sum(seconds) / total if total else 0.0


def best_pace(seen: Observation) -> float | None:
    """Seconds a token in the best tenth of the requests, of those now or of those before.

    Not of both together: many slow ones now would outvote what a few before have shown.
    """
    parts = (known(one.tpot for one in whole(some)) for some in (seen.earlier, seen.requests))
    best = [quantile(paces, 0.1) for paces in parts if len(paces) >= ENOUGH]
    return min(known(best), default=None)


def mostly(flags: Sequence[bool], *, least: int = 3) -> bool:
    """Whether it was so at most looks, of which there must be `least`."""
    return len(flags) >= least and sum(flags) >= MOSTLY * len(flags)


def grown(looks: Sequence[Look], name: str) -> float | None:
    """Return by how much a counter grew; one that falls was begun anew. None: not seen twice."""
    values: list[float] = known(getattr(look, name) for look in looks)
    if len(values) < 2:  # noqa: PLR2004 - growth is between two
        return None
    return sum(new - old if new >= old else new for old, new in pairwise(values))
