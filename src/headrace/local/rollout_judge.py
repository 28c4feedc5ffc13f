"""Whether new replicas are worse than the old ones, by what the gateway saw of both: pure.

Failures are judged at any moment, slowness at the end of a watch. A crash or a wrong answer needs
no statistics and is judged in `rollout_move.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.fleet.routes import Slo
from headrace.fleet.types import Rollout
from headrace.gateway.control import ReplicaStats

ENOUGH_FAILURES = 3
"""Fewer failures than this are bad luck."""
NOISE = {"TTFT": 0.05, "TPOT": 0.002}
"""Seconds by which a p95 may always be above the old one: a busy machine alone does that."""
ENOUGH_REQUESTS = 5
"""Requests on each side from which a p95 is compared; with so few it is the slowest one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the gateway saw of some replicas lately; `ttft` and `tpot` are p95s in seconds."""

    requests: int = 0
    failures: int = 0
    ttft: float | None = None
    tpot: float | None = None
    ejected: str = ""

    @property
    def share(self) -> float:
        """The share of requests that failed."""
        return self.failures / self.requests if self.requests else 0.0


def pooled(stats: Iterable[ReplicaStats]) -> Sample:
    """Return replicas as one; quantiles are means weighted by requests, as no better is known."""
    seen = list(stats)
    return Sample(
        requests=sum(one.requests for one in seen),
        failures=sum(one.failures for one in seen),
        ttft=_mean([(one.ttft_p95, one.requests) for one in seen]),
        tpot=_mean([(one.tpot_p95, one.requests) for one in seen]),
        ejected=next((one.ejected for one in seen if one.ejected), ""),
    )


def _mean(values: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in values if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def failing(new: Sample, old: Sample, terms: Rollout) -> str:
    """Return why the new ones fail too often, or nothing."""
    if new.ejected and not old.ejected:
        return f"the gateway sends it no work: {new.ejected}"
    if new.failures >= ENOUGH_FAILURES and new.share > old.share + terms.failures:
        return (
            f"{new.failures} of {new.requests} requests failed ({new.share:.1%}; old "
            f"{old.share:.1%}, rollout.failures allows {terms.failures:.1%} more)"
        )
    return ""


def slower(new: Sample, old: Sample, terms: Rollout, slo: Slo) -> str:
    """Return why the new ones are too slow, or nothing; what keeps the route's SLO is not."""
    if min(new.requests, old.requests) < ENOUGH_REQUESTS:
        return ""
    found = (
        _slower("TTFT", new.ttft, old.ttft, terms.slower, slo.ttft),
        _slower("TPOT", new.tpot, old.tpot, terms.slower, slo.tpot),
    )
    return "; ".join(why for why in found if why)


def _slower(
    what: str, new: float | None, old: float | None, factor: float, slo: float | None
) -> str:
    if new is None or old is None or (slo is not None and new <= slo):
        return ""
    if new <= max(old * factor, old + NOISE[what]):
        return ""
    promise = f", the route promises {slo:.3g} s" if slo is not None else ""
    return (
        f"{what} p95 {new:.3g} s is over {factor:g} times the old {old:.3g} s (rollout.slower)"
        f"{promise}"
    )


def comparison(new: Sample, old: Sample) -> str:
    """Return both sides in words, for whoever follows the rollout."""
    failures = f"{new.failures} of {new.requests} failed" if new.failures else "no failures"
    if min(new.requests, old.requests) < ENOUGH_REQUESTS:
        return f"too little traffic to compare: judged by the known prompt alone, {failures}"
    pairs = [_pair("TTFT", new.ttft, old.ttft), _pair("TPOT", new.tpot, old.tpot)]
    speeds = [pair for pair in pairs if pair] or ["too few streams to compare speeds"]
    return ", ".join([*speeds, failures])


def _pair(what: str, new: float | None, old: float | None) -> str:
    if new is None or old is None:
        return ""
    return f"{what} p95 {new:.3g} s (old {old:.3g} s)"
