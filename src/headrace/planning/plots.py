"""Plots of what one deployment's memory does: by part, by length of context, static or paged.

Each takes what `capacity` computed and returns an SVG element. `choice_plots.py` has cost and
latency, `tables.py` the same figures as rows, `sections.py` puts both together with a sentence on
how to read them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import TYPE_CHECKING

from headrace.capacity.memory import Budget
from headrace.capacity.waste import Context, Slots, Waste
from headrace.capacity.words import gigabytes
from headrace.pages.canvas import DASHED, painted, spread
from headrace.pages.theme import BAD, GRID, INK, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GB = 1e9
ROW = 0.27
"""Inches that a row of bars takes."""
KV = SERIES[2]
_PARTS = (SERIES[0], SERIES[5], SERIES[1], SERIES[3], SERIES[4], SERIES[6], SERIES[7])


@dataclass(frozen=True)
class Bar:
    """A part of a rank's memory from `start` on, in bytes, and between which values its size is."""

    name: str
    start: int
    size: int
    low: int
    high: int
    basis: str
    colour: str

    @property
    def end(self) -> int:
        """Where the next begins."""
        return self.start + self.size

    @property
    def exact(self) -> bool:
        """Whether nothing is assumed."""
        return self.low == self.high

    @property
    def words(self) -> str:
        """Its size and, where something is assumed, the range."""
        if self.exact:
            return size_of(self.size)
        low, high = size_of(self.low), size_of(self.high)
        return f"{size_of(self.size)} ({low.removesuffix(high[-3:])} to {high})"


def size_of(size: int) -> str:
    """Write bytes in GB, small parts in MB."""
    return gigabytes(size) if abs(size) >= GB / 10 else f"{size / 1e6:,.1f} MB"


def bars(budget: Budget) -> tuple[Bar, ...]:
    """Return the parts of a budget one after the other, then the KV cache and what is spare."""
    starts = accumulate((part.bytes for part in budget.parts), initial=0)
    made = [
        Bar(part.name, start, part.bytes, part.low, part.high, part.basis, colour)
        for part, start, colour in zip(budget.parts, starts, cycle(_PARTS), strict=False)
    ]
    why = "what is left of what the engine may use" if budget.fixed is None else "fixed by the file"
    cache = Bar("KV cache", budget.used, budget.kv, budget.kv_low, budget.kv_high, why, KV)
    return (*made, cache, _rest(budget))


def _rest(budget: Budget) -> Bar:
    """Return what is spare, or by how much the parts are over what there is."""
    spare = budget.spare
    if spare >= 0:
        why = "what the engine may not use, and the driver's part"
        return Bar("spare", budget.total - spare, spare, spare, spare, why, GRID)
    missing = budget.kv - budget.total
    low, high = (
        max(0, sum(sizes) + missing)
        for sizes in (
            [part.low for part in budget.parts],
            [part.high for part in budget.parts],
        )
    )
    return Bar("over", budget.total, -spare, low, high, "more than there is", BAD)


def memory(budget: Budget) -> str:
    """Plot the memory of one rank: all of it in one bar, below it each part where it begins."""
    made = bars(budget)
    alt = f"Memory of one accelerator, {gigabytes(budget.total)}: " + ", ".join(
        f"{bar.name} {bar.words}" for bar in made
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for row, bar in enumerate(made, 1):
            for place in (0, row):
                axes.barh(place, bar.size / GB, 0.72, bar.start / GB, color=bar.colour)
            _range(axes, row, bar)
        names = ["together", *(bar.name for bar in made)]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1.02 * max(budget.total, *(bar.start + bar.high for bar in made)) / GB)
        _limits(axes, budget)

    return painted(alt, 0.9 + ROW * len(made), paint)


def _range(axes: Axes, row: int, bar: Bar) -> None:
    """Draw where the part's uncertain edge may be, and write its figures beside the plot.

    A KV cache is what is left, so it is its beginning that moves.
    """
    if not bar.exact:
        base, sign = (bar.end, -1) if bar.name == "KV cache" else (bar.start, 1)
        ends = [(base + sign * size) / GB for size in (bar.low, bar.high)]
        axes.plot(ends, [row, row], color=INK, lw=1.1, marker="|", ms=7)
    axes.text(1.015, row, bar.words, transform=axes.get_yaxis_transform(), va="center")


def _limits(axes: Axes, budget: Budget) -> None:
    """Mark what the engine may use and what there is."""
    axes.set_xlabel("GB (10⁹ bytes) of one accelerator")
    axes.grid(axis="x")
    marks = (
        (budget.requested, DASHED, -3, f"may use {gigabytes(budget.requested)}"),
        (budget.total, "-", 3, f"has {gigabytes(budget.total)}"),
    )
    for size, style, away, words in marks:
        axes.axvline(size / GB, color=INK, lw=1, ls=style)
        axes.annotate(
            words,
            (size / GB, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(away, 2),
            textcoords="offset points",
            ha="left" if away > 0 else "right",
        )


def concurrency(contexts: Sequence[Context], chosen: int | None = None) -> str:
    """Plot how many requests fit at once against max_model_len, and the share refused below.

    `chosen` is the max_model_len of the plan.
    """
    alt = "Requests at once by max_model_len: " + ", ".join(
        f"{one.max_model_len:,} tokens: {one.full:,.1f} of full length, {one.observed:,.1f} of the"
        f" traffic's own, {one.refused:.1%} refused"
        for one in contexts
    )
    return painted(alt, 4.3, lambda figure: _concurrency(figure, contexts, chosen))


def _concurrency(figure: Figure, contexts: Sequence[Context], chosen: int | None) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    lengths = [one.max_model_len for one in contexts]
    observed = [one.observed or math.nan for one in contexts]
    _line(upper, lengths, observed, 0, "the traffic's own requests")
    _line(upper, lengths, [one.full for one in contexts], 1, "requests of max_model_len tokens")
    held = [value for one in contexts for value in (one.full, one.observed) if value > 0]
    spread(upper, "y", min(held, default=0), max(held, default=0))
    upper.set_ylabel("requests at once")
    _line(lower, lengths, [100 * one.refused for one in contexts], 7, "")
    lower.set(ylabel="% refused", xlabel="max_model_len, tokens", ylim=(-4, 104), xscale="log")
    lower.set_xticks(lengths, [f"{length:,}" for length in lengths])
    lower.set_xticks([], minor=True)
    for axes in (upper, lower):
        axes.grid(visible=True)
        if chosen is not None:
            axes.axvline(chosen, color=INK, lw=1, ls=DASHED)
    if chosen is not None:
        _above(upper, chosen, f"planned: {chosen:,}")
    figure.legend(loc="outside upper left", ncols=2)


def slots(waste: Waste) -> str:
    """Plot slots that hold a token and slots that wait for one, reserved statically and in pages.

    Left when each request ends, right over all steps of its life.
    """
    panels = (
        ("when each request ends", waste.static, waste.paged),
        ("over all steps of its life", waste.static_over_time, waste.paged_over_time),
    )
    alt = "Slots reserved and wasted: " + ", ".join(
        f"{when}: static {static.wasted:.1%} of {static.reserved:,} wasted, paged"
        f" {paged.wasted:.1%} of {paged.reserved:,}"
        for when, static, paged in panels
    )

    def paint(figure: Figure) -> None:
        for axes, panel in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
            _slots(axes, *panel)
        names = [f"static: {waste.max_model_len:,} each", f"paged: blocks of {waste.block}"]
        figure.axes[0].set_yticks([0, 1], names)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)

    return painted(alt, 2.0, paint)


def _slots(axes: Axes, when: str, static: Slots, paged: Slots) -> None:
    """Draw one pair of bars as multiples of the slots that hold a token."""
    used = max(static.used, 1)
    for row, one in enumerate((static, paged)):
        share = one.used / used, (one.reserved - one.used) / used
        names = ("holds a token", "wasted") if row == 0 else ("_", "_")
        axes.barh(row, share[0], 0.6, color=SERIES[0], label=names[0])
        axes.barh(row, share[1], 0.6, share[0], color=SERIES[1], label=names[1])
        axes.annotate(
            f"{one.wasted:.1%} wasted",
            (sum(share), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xlim(0, 1.45 * max(one.reserved for one in (static, paged)) / used)
    axes.set_ylim(1.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_title(when, fontsize="medium", loc="left")
    axes.set_xlabel("slots for each slot that holds a token")
    axes.grid(axis="x")


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], series: int, label: str) -> None:
    axes.plot(x, y, color=SERIES[series], marker="o", ms=4, label=label)


def _above(axes: Axes, x: float, words: str) -> None:
    """Write `words` over the upper end of a vertical line."""
    axes.text(x, 1.0, words, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
