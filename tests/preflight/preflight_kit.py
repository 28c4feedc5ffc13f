"""Ways to run the preflight over text, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from headrace.preflight.check import Report, preflight
from headrace.preflight.finding import Finding

MANIFESTS = Path(__file__).parent / "manifests"
CLEAN = sorted((MANIFESTS / "clean").iterdir())


def look(text: str) -> Report:
    return preflight([Path("-")], text)


def ids(findings: Iterable[Finding]) -> list[str]:
    return [one.rule.id for one in findings]


def clean(name: str) -> str:
    return (MANIFESTS / "clean" / f"{name}.yaml").read_text("utf-8")


def line_of(text: str, marker: str) -> int:
    """Return the first line with `marker`, from 1."""
    return next(n for n, line in enumerate(text.splitlines(), 1) if marker in line)
