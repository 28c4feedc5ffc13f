"""The figures of each plot as rows, for who cannot see it and for who wants to copy a number.

As in the plots: a function for each, from what `capacity` computed to cells of text with units in
the head of their column.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.capacity.choose import Choice, Ranked
from headrace.capacity.cost_curve import Point
from headrace.capacity.memory import Budget
from headrace.capacity.waste import Context, Waste
from headrace.capacity.words import span
from headrace.pages.html import Table
from headrace.planning.choice_plots import digits
from headrace.planning.plots import bars, size_of


def memory(budget: Budget) -> Table:
    """Return the parts of a rank's memory, their ranges, and where those are from."""
    rows = [
        (
            bar.name,
            size_of(bar.size),
            "exact" if bar.exact else size_of(bar.low),
            "" if bar.exact else size_of(bar.high),
            bar.basis,
        )
        for bar in bars(budget)
    ]
    return Table(("part", "size", "from", "to", "how it is known"), tuple(rows), (0, 4))


def concurrency(contexts: Sequence[Context]) -> Table:
    """Return what each max_model_len means."""
    head = (
        "max_model_len, tokens",
        "requests of that length at once",
        "the traffic's own requests at once",
        "refused",
    )
    rows = (
        (
            f"{one.max_model_len:,}",
            f"{one.full:,.1f}",
            f"{one.observed:,.1f}" if one.observed else "none is short enough",
            f"{one.refused:.2%}",
        )
        for one in contexts
    )
    return Table(head, tuple(rows), ())


def slots(waste: Waste) -> Table:
    """Return slots reserved and wasted, statically and in pages."""
    each = f"{waste.max_model_len:,} for each request"
    pages = f"blocks of {waste.block}"
    kinds = (
        (f"static, {each}, at the end", waste.static),
        (f"paged, {pages}, at the end", waste.paged),
        (f"static, {each}, over all steps", waste.static_over_time),
        (f"paged, {pages}, over all steps", waste.paged_over_time),
    )
    rows = tuple(
        (name, f"{one.used:,}", f"{one.reserved:,}", f"{one.wasted:.1%}") for name, one in kinds
    )
    return Table(("slots of one token", "hold a token", "reserved", "wasted"), rows)


def options(choice: Choice, currency: str = "", most: int = 40) -> Table:
    """Return the options that keep the SLO, best first; their times' label is in the caption."""
    money = f", {currency}" if currency else ""
    head = (
        "option",
        f"cost per 1,000 requests{money}",
        f"per million tokens{money}",
        f"per hour{money}",
        "TTFT p95",
        "TPOT p95",
        "a replica takes, requests/s",
    )
    shown = choice.kept[:most]
    labels = sorted({ranked.option.efficiency.label for ranked in shown})
    caption = _cut("options that keep the SLO", len(choice.kept), most)
    if len(labels) == 1:
        return Table(head, tuple(map(_option, shown)), (0,), f"{caption}; times are {labels[0]}")
    rows = tuple((*_option(ranked), ranked.option.efficiency.label) for ranked in shown)
    return Table((*head, "times are"), rows, (0, 7), caption)


def _option(ranked: Ranked) -> tuple[str, ...]:
    option = ranked.option
    return (
        _placed(ranked),
        digits(option.cost.thousand_requests),
        digits(option.cost.million_tokens),
        f"{option.cost.hour:,.2f}",
        span(option.state.ttft_p95),
        span(option.state.tpot_p95),
        digits(option.capacity),
    )


def gives_up(choice: Choice, most: int = 12) -> Table:
    """Return what each option that keeps the SLO gives up against the others."""
    rows = tuple((_placed(ranked), ranked.gives_up) for ranked in choice.kept[:most])
    return Table(("option", "what it gives up"), rows, (0, 1))


def _placed(ranked: Ranked) -> str:
    return f"{ranked.place}: {ranked.option.name}"


def missed(choice: Choice, most: int = 12) -> Table:
    """Return what starts and does not keep the SLO, nearest first, with the reason."""
    rows = tuple((miss.name, miss.why) for miss in choice.missed[:most])
    caption = _cut("options that miss the SLO, nearest first", len(choice.missed), most)
    return Table(("option", "why not"), rows, (0, 1), caption)


def unfit(choice: Choice, most: int = 40) -> Table:
    """Return what cannot be started at all, with the reason."""
    rows = tuple((f"{one.accelerator} {one.scheme}", one.why) for one in choice.unfit[:most])
    caption = _cut("combinations that cannot be started", len(choice.unfit), most)
    return Table(("hardware and quantization", "why not"), rows, (0, 1), caption)


def cost_rate(points: Sequence[Point], currency: str = "") -> Table:
    """Return cost and times of one replica by its rate."""
    money = f", {currency}" if currency else ""
    head = (
        "requests/s to a replica",
        "at once",
        "answer tokens/s",
        f"cost per 1,000 requests{money}",
        f"per million tokens{money}",
        "TTFT p95",
        "TPOT p95",
    )
    rows = (
        (
            digits(point.state.rate),
            f"{point.state.concurrency:.1f}",
            f"{point.state.tokens_per_second:,.0f}",
            digits(point.cost.thousand_requests),
            digits(point.cost.million_tokens),
            span(point.state.ttft_p95),
            span(point.state.tpot_p95),
        )
        for point in points
    )
    return Table(head, tuple(rows), ())


def _cut(what: str, count: int, most: int) -> str:
    return f"{count:,} {what}" + (f"; the first {most:,} are shown" if count > most else "")
