"""A drill's report for people: the table, a plot of the pauses, one sentence.

The story was told while it went on (`timeline.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.drill.report import Report, Spread

_WIDTH = 40
_PER_DECADE = 4
_SECOND = 1000.0
_KINDS = {
    "whole": "every token once, to the end",
    "continued": "of all: another replica went on",
    "failed_loudly": "ended early with an explicit error",
    "cut_silently": "ended as if complete, tokens missing",
    "lost": "no end and no error",
    "doubled": "tokens came twice",
    "broken": "all tokens, wrong form",
    "refused": "turned away before any token",
}
_MUST_BE_ZERO = {"cut_silently", "lost", "doubled", "broken"}


def page(report: Report) -> Group:
    """Return the whole report to print."""
    parts: list[RenderableType] = [_outcomes(report), _pauses(report)]
    parts += [Text(line) for line in plot(report.pauses, report.undisturbed)]
    parts += [Text(line) for line in _notes(report)]
    parts.append(Text(verdict(report), style="bold green" if report.good else "bold red"))
    return Group(*parts)


def _outcomes(report: Report) -> Table:
    table = Table("requests", "", "what their clients saw", box=None, pad_edge=False)
    table.add_row("begun", str(report.begun), "", style="bold")
    for name, meaning in _KINDS.items():
        count = getattr(report, name)
        bad = count and name in _MUST_BE_ZERO
        table.add_row(name.replace("_", " "), str(count), meaning, style="red" if bad else None)
    for status, count in report.refused_with.items():
        table.add_row("", str(count), f"refused with {status}")
    for name in ("missing", "doubled"):
        table.add_row(f"tokens {name}", str(getattr(report, f"tokens_{name}")), "")
    return table


def _pauses(report: Report) -> Table:
    title = "milliseconds"
    table = Table(title, "streams", "p50", "p99", "max", box=None, pad_edge=False)
    rows = {
        "longest pause, disturbed": report.pause_ms,
        "longest pause, others": report.undisturbed_ms,
        "first token": report.first_token_ms,
    }
    for name, spread in rows.items():
        table.add_row(name, *_cells(spread))
    usual = "-" if report.gap_ms is None else f"{report.gap_ms:g}"
    table.add_row("usual gap between tokens", "", usual, "", "")
    return table


def _cells(spread: Spread) -> list[str]:
    values = (spread.p50, spread.p99, spread.max)
    return [str(spread.count), *("-" if value is None else f"{value:g}" for value in values)]


def plot(pauses: Sequence[float], others: Sequence[float]) -> list[str]:
    """Draw how many streams had which longest pause (ms), disturbed ones `#`, others `.`."""
    steps = sorted({_step(value) for value in (*pauses, *others)})
    if not steps:
        return []
    counts = [
        (step, _count(pauses, step), _count(others, step))
        for step in range(steps[0], steps[-1] + 1)
    ]
    longest = max(one + other for _, one, other in counts)
    lines = ["longest pause of each stream   # disturbed  . others"]
    for step, one, other in counts:
        bars = "#" * _cells_of(one, longest) + "." * _cells_of(other, longest)
        low, high = _edge(step), _edge(step + 1)
        lines.append(f"{low:>7} - {high:<7} |{bars:<{_WIDTH + 1}} {one + other or ''}".rstrip())
    return lines


def _step(ms: float) -> int:
    return math.floor(_PER_DECADE * math.log10(max(ms, 0.1)) + 1e-9)


def _count(values: Sequence[float], step: int) -> int:
    return sum(_step(value) == step for value in values)


def _cells_of(count: int, longest: int) -> int:
    return math.ceil(count / longest * (_WIDTH - 1)) if count else 0


def _edge(step: int) -> str:
    """Write a bound in two digits, in ms or s."""
    ms = float(f"{10 ** (step / _PER_DECADE):.2g}")
    return f"{ms:g} ms" if ms < _SECOND else f"{ms / _SECOND:g} s"


def _notes(report: Report) -> Iterator[str]:
    for one in report.memory:
        sizes = " ".join(f"{size:g}" for size in one.quarters())
        yield (
            f"memory of {one.who} {one.pid}: {sizes} MiB at the quarters of {one.seconds:.0f} s, "
            f"{max(one.samples):g} at most"
        )
    if report.checked:
        found = report.checked
        yield (
            f"asked the engine again: {found.streams} answers, {found.tokens} tokens, "
            f"{found.near_ties} near ties, worst {found.worst_gap:g} nat below the likeliest token"
        )
        yield from found.suspects
    yield from report.examples


def verdict(report: Report) -> str:
    """Return the result in one sentence."""
    bad = {name: getattr(report, name) for name in sorted(_MUST_BE_ZERO)}
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in bad.items() if count)
    if report.checked and report.checked.suspects:
        suspects = f"{len(report.checked.suspects)} that the engine would not have written"
        told = ", ".join(filter(None, (told, suspects)))
    if not told and report.unchecked:
        return f"bad: of {report.begun} requests none seems wrong, but {report.unchecked}"
    if not report.begun:
        return "bad: no request was begun"
    if told:
        return f"bad: of {report.begun} requests {told}"
    loud = report.failed_loudly + report.refused
    rest = f", {loud} failed or refused openly" if loud else ""
    return f"good: of {report.begun} requests none lost, none doubled, none cut silently{rest}"
