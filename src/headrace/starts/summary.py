"""What starts take: percentiles of each phase, over starts of the same thing. Pure.

`words.py` says what they mean, `headrace plan` and scaling take their lead time from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headrace.starts.start import PHASES, Runtime, Start
from headrace.traffic.quantile import quantile_of_ascending

PLANNED = 0.9
"""The quantile of the lead time that plans and scaling go by: late in one start of ten."""


class Subject(NamedTuple):
    """What was started; only starts of the same subject are counted together."""

    deployment: str
    runtime: Runtime
    engine: str
    version: str
    model: str
    weights: str
    hardware: str
    emulated: bool


@dataclass(frozen=True)
class Spread:
    """Quantiles of some seconds, `count` of them."""

    count: int
    p50: float
    p90: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Return the quantiles of at least one value; ValueError if there is none."""
        ordered = sorted(seconds)
        if not ordered:
            raise ValueError("no start has been recorded, so there is no percentile of them")
        p50, p90, p99 = (quantile_of_ascending(ordered, q) for q in (0.5, 0.9, 0.99))
        return cls(len(ordered), p50, p90, p99, ordered[-1])


@dataclass(frozen=True)
class Summary:
    """All known starts of one subject; `first` and `last` are when they began, UTC.

    `lead`, `total` and `phases` are of those that got ready (None, empty: none did).
    """

    subject: Subject
    ready: int
    failed: int
    stopped: int
    first: str
    last: str
    lead: Spread | None
    total: Spread | None
    phases: dict[str, Spread]


def subject_of(start: Start) -> Subject:
    """Return what was started."""
    return Subject(
        start.deployment,
        start.runtime,
        start.engine,
        start.version,
        start.model,
        start.weights,
        start.hardware,
        start.emulated,
    )


def summaries(starts: Iterable[Start]) -> list[Summary]:
    """Return a summary of each subject, by deployment, that of the newest start first."""
    by_subject: dict[Subject, list[Start]] = {}
    for start in starts:
        by_subject.setdefault(subject_of(start), []).append(start)
    found = [_summary(subject, of) for subject, of in by_subject.items()]
    found.sort(key=lambda one: one.last, reverse=True)
    return sorted(found, key=lambda one: one.subject.deployment)


def _summary(subject: Subject, starts: Sequence[Start]) -> Summary:
    ready = [start for start in starts if start.outcome == "ready"]
    names = dict.fromkeys(name for start in ready for name in start.phases)
    ordered = sorted(names, key=lambda name: PHASES.index(name) if name in PHASES else len(PHASES))
    return Summary(
        subject=subject,
        ready=len(ready),
        failed=sum(start.outcome == "failed" for start in starts),
        stopped=sum(start.outcome == "stopped" for start in starts),
        first=min(start.began for start in starts),
        last=max(start.began for start in starts),
        lead=Spread.of([start.lead for start in ready]) if ready else None,
        total=Spread.of([start.total for start in ready]) if ready else None,
        phases={
            name: Spread.of([s.phases[name] for s in ready if name in s.phases]) for name in ordered
        },
    )
