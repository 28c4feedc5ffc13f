"""A run with all that is said of it: its figures, the doubts about them, and who is at fault.

Doubts and diagnosis of a long run take seconds, so whoever shows one judges it once; `page.py` and
`report.py` show the same.
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.bench.doubt import Doubt, Severity
from headrace.bench.run import Run
from headrace.bench.summary import Summary, summarise
from headrace.bench.validity import judge, worst
from headrace.bench.verdict import fault
from headrace.diagnosis.finding import Diagnosis


class Judged(NamedTuple):
    """A run, its figures, the doubts about it, the worst first, and its diagnosis."""

    run: Run
    summary: Summary
    doubts: tuple[Doubt, ...]
    fault: Diagnosis

    @property
    def of_use(self) -> bool:
        """Whether it measured anything: an answer came, and its figures are not worthless."""
        return bool(self.summary.counts.whole) and worst(self.doubts) is not Severity.WORTHLESS


def judged(run: Run) -> Judged:
    """Return a run with what is to be said of it."""
    summary = summarise(run)
    return Judged(run, summary, judge(run, summary), fault(run, summary))
