"""Whether a run's figures can be trusted: every reason not to, in a sentence, with what to do.

A load generator that never doubts itself reports its own slowness as the server's, and the latency
of the requests that happened to succeed as everybody's. The rules stand in four files, each with
the reasons for its limits: the client itself, its answers, the run's course, and whether engine and
gateway tell the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from headrace.bench.doubt import Doubt, Severity
from headrace.bench.run import Run
from headrace.bench.summary import Summary
from headrace.bench.validity_answers import answer_doubts
from headrace.bench.validity_client import client_doubts
from headrace.bench.validity_course import course_doubts
from headrace.bench.validity_own import own_doubts

_ORDER = tuple(Severity)


def judge(run: Run, summary: Summary) -> tuple[Doubt, ...]:
    """Return all doubts about a run, the worst first; none about a sound one with its metrics."""
    found = chain(
        client_doubts(run, summary),
        answer_doubts(run, summary),
        course_doubts(run, summary),
        own_doubts(run, summary),
    )
    return tuple(sorted(found, key=lambda doubt: _ORDER.index(doubt.severity)))


def worst(doubts: Sequence[Doubt]) -> Severity | None:
    """Return the worst severity that there is."""
    return min((one.severity for one in doubts), key=_ORDER.index, default=None)
