"""Findings for people: grouped by file, one line each, then what will happen, the fix, the fact."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from headrace.preflight.check import Report
from headrace.preflight.finding import SEVERITIES, Finding


def as_text(report: Report) -> str:
    """Return the report as lines; what was silenced is counted and its reasons are shown."""
    lines = [line for file, group in _by_file(report.open) for line in _file(file, group)]
    silenced = [one for one in report.findings if one.silenced]
    lines += [f"silenced: {one.file}:{one.line}: {one.rule.id}: {one.silenced}" for one in silenced]
    return "\n".join([*lines, _summary(report, len(silenced))]) + "\n"


def _by_file(findings: tuple[Finding, ...]) -> Iterator[tuple[str, list[Finding]]]:
    for file, group in itertools.groupby(findings, key=lambda one: one.file):
        yield file, list(group)


def _file(file: str, findings: list[Finding]) -> Iterator[str]:
    yield file
    for one in findings:
        where = f" {one.where}" if one.where else ""
        yield f"  {one.line}: {one.rule.severity} {one.rule.id}{where}: {one.message}"
        yield f"      {one.rule.what}"
        yield f"      fix: {one.fix}"
        yield f"      fact: {one.rule.fact.text} ({one.rule.fact.source})"
    yield ""


def _summary(report: Report, silenced: int) -> str:
    counts = [
        f"{number} {severity}{'s' * (number != 1)}"
        for severity in reversed(SEVERITIES)
        if (number := sum(one.rule.severity == severity for one in report.open))
    ]
    looked = f"{report.objects} object{'s' * (report.objects != 1)}"
    if report.fleets:
        looked += f", {report.fleets} fleet file{'s' * (report.fleets != 1)}"
    quiet = f", {silenced} silenced" if silenced else ""
    return f"{looked} looked at: {', '.join(counts) or 'nothing found'}{quiet}"
