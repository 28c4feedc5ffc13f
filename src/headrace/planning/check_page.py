"""A check for people: its rows as a table, what the log's engine was started with, one sentence."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.planning.check import Check
from headrace.planning.check_row import AS_PLANNED, figure

_COLOURS = {True: "green", False: "yellow"}


def check_page(check: Check) -> RenderableType:
    """Return everything to print."""
    parts: list[RenderableType] = [Text(_subject(check), style="bold"), _table(check)]
    parts += [Text(f"another setting: {one}", style="yellow") for one in check.settings]
    style = "bold green" if check.good else "bold red"
    parts.append(Text(check.conclusion, style=style))
    return Group(*parts)


def _subject(check: Check) -> str:
    version = f"vLLM {check.version}" if check.version else "an engine that tells no version"
    return f"the plan against the log of {version}" + (f", {check.model}" if check.model else "")


def _table(check: Check) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("part", no_wrap=True)
    for name in ("planned", "between", "said by the engine", "difference"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for one in check.rows:
        colour = "red" if one.off else _COLOURS[one.verdict == AS_PLANNED]
        table.add_row(
            one.part,
            figure(one.planned, one.unit),
            "" if one.low == one.high else one.range,
            figure(one.said, one.unit),
            one.apart,
            Text(one.verdict, style=colour),
        )
    return table
