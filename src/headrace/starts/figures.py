"""What starts of one thing took, in few numbers: for metrics, for waiting clients, for plans.

The runtimes make them from the ledger; a gateway exports them (`headrace.gateway.metrics`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from headrace.starts.start import Start
from headrace.starts.summary import Spread, Subject, subject_of, summaries

TOTAL = "total"
"""In the place of a phase: all of them together."""


class PhaseFigures(msgspec.Struct, frozen=True):
    """Quantiles of one phase in seconds, of `count` starts that took `sum` seconds for it."""

    count: int
    sum: float
    p50: float
    p90: float
    p99: float


class StartFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Starts by outcome, and the phases of those that got ready."""

    ready: int = 0
    failed: int = 0
    stopped: int = 0
    phases: dict[str, PhaseFigures] = {}


def figures(starts: Iterable[Start], subject: Subject) -> StartFigures | None:
    """Return the figures of a subject's starts; None if there was none."""
    own = list(of_subject(starts, subject))
    if not own:
        return None
    found = summaries(own)[0]
    spreads = found.phases | ({TOTAL: found.total} if found.total else {})
    ready = [one.phases for one in own if one.outcome == "ready"]
    sums = {name: sum(took.get(name, 0.0) for took in ready) for name in found.phases}
    sums[TOTAL] = sum(sums.values())
    phases = {name: _phase(spread, sums[name]) for name, spread in spreads.items()}
    return StartFigures(
        ready=found.ready, failed=found.failed, stopped=found.stopped, phases=phases
    )


def _phase(spread: Spread, total: float) -> PhaseFigures:
    p50, p90, p99 = (round(q, 3) for q in (spread.p50, spread.p90, spread.p99))
    return PhaseFigures(spread.count, round(total, 3), p50, p90, p99)


def of_subject(starts: Iterable[Start], subject: Subject) -> Iterator[Start]:
    """Yield the starts of one subject."""
    return (start for start in starts if subject_of(start) == subject)


def lead(starts: Iterable[Start], subject: Subject) -> Spread | None:
    """Return the lead time of a subject's starts that got ready; None if none did."""
    own = [one.lead for one in of_subject(starts, subject) if one.outcome == "ready"]
    return Spread.of(own) if own else None
