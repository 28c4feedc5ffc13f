"""Why runs of an experiment may not be believed, each reason once, with the runs it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.experiments.measured import Measured
from headrace.experiments.words import percent

FEW = 20
"""Answers below which a 95th percentile is hardly more than the largest value."""
_NAMED = 3
"""Runs that are named with a doubt; of more it is said how many."""


def doubts_of(runs: Iterable[tuple[str, Measured]]) -> Iterator[str]:
    """Yield the doubts of named runs, and whether requests failed."""
    known = list(runs)
    reasons: dict[str, list[str]] = {}
    for name, run in known:
        for doubt in run.doubts:
            reasons.setdefault(str(doubt), []).append(name)
    for reason, names in reasons.items():
        yield f"{_whose(names, len(known))}{reason}"
    fewest = min((run.whole for _, run in known), default=0)
    if 0 < fewest < FEW:
        yield (
            f"the smallest run has {fewest} whole answers: a p95 of so few is about their slowest;"
            " --long sends more"
        )
    asked = sum(run.asked for _, run in known)
    if failed := sum(run.failed for _, run in known):
        yield (
            f"{failed} of {asked} requests failed ({percent(failed / asked)}); rates and times are"
            " of whole answers"
        )


def _whose(names: list[str], runs: int) -> str:
    if len(names) == runs:
        return ""
    if len(names) > _NAMED:
        return f"{len(names)} of {runs} runs: "
    return f"{' and '.join(names)}: "
