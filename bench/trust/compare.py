"""Do two clients agree? Their percentiles over all repeats, and what chance alone would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.trust.plan import Plan, Times

Values = npt.NDArray[np.float64]
WITHIN = 0.05
_DRAWS = 2000


@dataclass(frozen=True)
class Agreement:
    """One percentile of one latency; `low` to `high` has 95 % of what chance makes of the share."""

    name: str
    ours: float
    theirs: float
    low: float
    high: float

    @property
    def share(self) -> float:
        """How much more ours is than theirs, as a share of theirs."""
        return self.ours / self.theirs - 1

    @property
    def agrees(self) -> bool:
        """Whether it is within the goal."""
        return abs(self.share) <= WITHIN


def agreements(ours: Sequence[Times], theirs: Sequence[Times]) -> list[Agreement]:
    """Return p50 and p95 of TTFT and TPOT of all repeats together."""
    pairs = {
        "ttft": (_all(one.ttft for one in ours), _all(one.ttft for one in theirs)),
        "tpot": (_all(one.tpot for one in ours), _all(one.tpot for one in theirs)),
    }
    return [
        _agreement(f"{name} p{percent}", percent, mine, other)
        for name, (mine, other) in pairs.items()
        for percent in (50, 95)
    ]


def _agreement(name: str, percent: int, mine: Values, other: Values) -> Agreement:
    """Compare one percentile; for chance, requests are drawn in pairs, as both clients had each."""
    draws = np.random.default_rng(0).integers(len(mine), size=(_DRAWS, len(mine)))
    some, same = (np.percentile(values[draws], percent, axis=1) for values in (mine, other))
    low, high = np.percentile(some / same - 1, [2.5, 97.5])
    one, two = (float(np.percentile(values, percent)) for values in (mine, other))
    return Agreement(name, one, two, float(low), float(high))


def _all(repeats: Iterable[list[float]]) -> Values:
    return np.concatenate([np.array(one) for one in repeats])


@dataclass(frozen=True)
class Delivery:
    """How far requests left from when they were asked to, in seconds."""

    p50: float
    p99: float
    rate: float
    """Sent by asked requests a second."""


def delivery(plans: Sequence[Plan], seen: Sequence[Times]) -> Delivery:
    """Compare sending times with those asked for, each from the first of its repeat."""
    off, rates = [], []
    for plan, times in zip(plans, seen, strict=True):
        due = np.array(plan.due) - plan.due[0]
        sent = np.array(times.sent)
        off.append(np.abs(sent - due))
        rates.append(due[-1] / sent[-1])
    together = np.concatenate(off)
    p50, p99 = (float(np.percentile(together, percent)) for percent in (50, 99))
    return Delivery(p50, p99, float(np.mean(rates)))
