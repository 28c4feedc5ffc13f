"""A finding for people at a terminal: the answer, its tables, doubts, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.experiments.finding import Finding
from headrace.experiments.words import sentence
from headrace.pages import html


def page(finding: Finding) -> RenderableType:
    """Return everything to print."""
    return Group(*_parts(finding))


def subject(finding: Finding) -> str:
    """Say what was experimented on, when, and for how long."""
    case = finding.case
    hardware = "a twin, whose times are made up" if case.emulated else case.hardware
    where = ", ".join(part for part in (case.model, case.engine, hardware) if part)
    stopped = "; stopped early" if case.interrupted else ""
    return (
        f"{case.deployment} ({where}), {finding.began[:16].replace('T', ' ')} UTC,"
        f" {finding.seconds:.0f} s{stopped}"
    )


def _parts(finding: Finding) -> Iterator[RenderableType]:
    said = finding.conclusion
    yield Text(f"{finding.name}: {subject(finding)}", style="dim")
    for table in said.tables:
        yield Text("")
        if table.caption:
            yield Text(table.caption, style="dim")
        yield _table(table)
    yield Text("")
    for number, words in enumerate(said.words):
        yield Text(sentence(words), style="bold" if number == 0 else "")
    yield from (Text(f"doubt: {sentence(doubt)}", style="yellow") for doubt in said.doubts)
    if said.next:
        yield Text(f"next: {said.next}")


def _table(given: html.Table) -> Table:
    table = Table(box=None, pad_edge=False)
    for column, name in enumerate(given.head):
        table.add_column(Text(name), justify="left" if column in given.words else "right")
    for row in given.rows:
        table.add_row(*map(Text, row))
    return table
