"""A choice for people, in a terminal: what keeps the promise, cheapest first, and the rest."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headrace.capacity.choose import Choice, Ranked
from headrace.capacity.options import Ask
from headrace.capacity.words import span

SHOWN = 12
"""Options in the table; `--json` has all."""
_TOLD = 5
"""Of those, what they give up; and of the others, why they do not do."""


def page(name: str, ask: Ask, choice: Choice) -> Group:
    """Return a choice to print."""
    parts: list[RenderableType] = [Text(_question(name, ask), style="bold")]
    if choice.kept:
        parts += [_table(choice), *_given_up(choice)]
    parts += [Text(f"\n{one}") for one in choice.advice]
    parts += _others(choice)
    return Group(*parts)


def _question(name: str, ask: Ask) -> str:
    lengths = ask.lengths
    return (
        f"{name}: {ask.rate:g} requests/s of {lengths.prompt:,.0f} + {lengths.output:,.0f} tokens"
        f" on average, max_model_len {ask.max_model_len:,}, {ask.slo}"
    )


def _table(choice: Choice) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("", "configuration", "an hour", "1,000 requests", "TTFT p95", "TPOT p95"):
        table.add_column(heading, no_wrap=heading == "configuration")
    for ranked in choice.kept[:SHOWN]:
        table.add_row(*_row(ranked))
    return table


def _row(ranked: Ranked) -> Iterator[str]:
    option = ranked.option
    error = option.efficiency.error
    yield f"{ranked.place}"
    yield option.name
    yield f"{option.cost.hour:,.2f}"
    yield f"{option.cost.thousand_requests:.3g}"
    for value in (option.state.ttft_p95, option.state.tpot_p95):
        yield f"{span(value)} ±{error:.0%}"


def _given_up(choice: Choice) -> Iterator[RenderableType]:
    yield Text("\nwhat each gives up", style="bold")
    for ranked in choice.kept[:_TOLD]:
        yield Text(f"{ranked.place}. {ranked.option.name} ({ranked.option.efficiency.label})")
        yield Padding(Text(ranked.gives_up, style="dim"), (0, 0, 0, 4))


def _others(choice: Choice) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if choice.beaten:
        names = ", ".join(option.name for option in choice.beaten[:SHOWN])
        parts.append(Text(f"\nno faster than a cheaper layout of the same: {names}", style="dim"))
    if choice.missed:
        parts.append(Text("\ndo not keep the promise, nearest first", style="bold"))
        parts += [Text(f"{one.name}: {one.why}") for one in choice.missed[:_TOLD]]
    if choice.unfit:
        parts.append(Text("\ncannot be started", style="bold"))
        parts += [Text(f"{one.accelerator} {one.scheme}: {one.why}") for one in choice.unfit]
    return parts
