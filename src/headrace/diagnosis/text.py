"""A diagnosis in words, the verdict first: for terminals and reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.diagnosis.finding import Diagnosis, Finding, brings
from headrace.diagnosis.words import count, span


def lines(one: Diagnosis) -> Iterator[str]:
    """Yield the verdict, each finding with figures, advice and the next experiment, the rest."""
    yield f"{one.name}: {one.verdict}"
    for number, finding in enumerate(one.findings):
        yield from _finding(finding, one.findings[:number])
    if one.times:
        parts = ", ".join(f"{name} {span(seconds)}" for name, seconds in one.times.items())
        yield f"  time of {count(one.requests, 'request')}, on average: {parts}"
    for unseen in one.missing:
        yield f"  not seen: {unseen.what}; {unseen.remedy}"


def _finding(finding: Finding, before: Sequence[Finding]) -> Iterator[str]:
    roots = [one.cause for one in before if brings(one, finding)]
    because = f", which {roots[0]} brings about" if roots else ""
    yield f"  {finding.part}: {finding.cause} ({finding.confidence} evidence{because})"
    yield from (f"    - {figure}" for figure in finding.figures)
    if not roots:
        yield f"    do:   {finding.advice}"
        yield f"    next: {finding.experiment}"
