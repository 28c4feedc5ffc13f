"""Paints the plots of a finding: lines over a number, or bars in groups, repeats as whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.experiments.finding import Plot, Series
from headrace.pages.canvas import DASHED, NUMBERS, painted, spread
from headrace.pages.theme import HALO, INK, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 3.2
"""Inches."""
_GROUP = 0.8
"""Of the place that a group of bars has."""
_TICKS = 12
"""Values on an axis that are named each."""
_CAP = 3
"""Points of a whisker's end."""


def painted_plot(plot: Plot) -> str:
    """Return a plot as an SVG element."""
    alt = f"{plot.heading}: " + "; ".join(_said(one) for one in plot.series)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set(xlabel=plot.x, ylabel=plot.y)
        axes.grid(visible=True, axis="y" if plot.kind == "bars" else "both")
        (_bars if plot.kind == "bars" else _lines)(axes, plot)
        _marks(axes, plot)
        if len(plot.series) > 1 and any(axes.get_legend_handles_labels()):
            figure.legend(loc="outside upper left", ncols=4)

    return painted(alt, _HEIGHT, paint)


def _said(one: Series) -> str:
    pairs = zip(one.x, one.y, strict=True)
    return f"{one.name} " + ", ".join(f"{x} {y:.4g}" for x, y in pairs if y is not None)


def _lines(axes: Axes, plot: Plot) -> None:
    for one, colour in zip(plot.series, SERIES, strict=False):
        known = [
            (float(x), y, off)
            for x, y, off in zip(one.x, one.y, _spreads(one), strict=True)
            if y is not None
        ]
        if known:
            x, y, off = zip(*known, strict=True)
            axes.errorbar(
                x, y, off if any(off) else None, color=colour, marker="o", ms=4, lw=1.4,
                capsize=_CAP, label=one.name,
            )  # fmt: skip
    shown = [float(x) for one in plot.series for x in one.x]
    values = [y for one in plot.series for y in one.y if y is not None]
    if shown and values:
        spread(axes, "x", min(shown), max(shown))
        _own_ticks(axes, sorted(set(shown)))
        axes.yaxis.set_major_formatter(NUMBERS)
        axes.set_ylim(0, 1.12 * max(*values, *(level for level, _ in plot.levels), 1e-9))


def _own_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Name the values that were measured, where they are few, instead of round ones."""
    if len(values) <= _TICKS:
        axes.set_xticks(values, [NUMBERS.format(x=value) for value in values])
        axes.set_xticks([], minor=True)


def _bars(axes: Axes, plot: Plot) -> None:
    names = list(dict.fromkeys(str(x) for one in plot.series for x in one.x))
    width = _GROUP / max(len(plot.series), 1)
    for number, (one, colour) in enumerate(zip(plot.series, SERIES, strict=False)):
        places = [names.index(str(x)) + width * (number + 0.5) - _GROUP / 2 for x in one.x]
        heights = [0.0 if y is None else y for y in one.y]
        off = _spreads(one)
        axes.bar(
            places, heights, 0.92 * width, color=colour, label=one.name,
            yerr=off if any(off) else None, capsize=_CAP, ecolor=INK,
        )  # fmt: skip
        _values(axes, places, one.y, off)
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_formatter(NUMBERS)
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)


def _values(
    axes: Axes, places: Sequence[float], heights: Sequence[float | None], off: Sequence[float]
) -> None:
    """Write each bar's value over it."""
    for x, y, above in zip(places, heights, off, strict=True):
        if y is not None:
            axes.annotate(
                f"{y:,.3g}" if y < 1000 else f"{y:,.0f}",  # noqa: PLR2004 - thousands in full
                (x, y + above), xytext=(0, 2), textcoords="offset points", ha="center",
            )  # fmt: skip


def _marks(axes: Axes, plot: Plot) -> None:
    for x, words in plot.marks:
        axes.axvline(x, color=INK, lw=1, ls=DASHED)
        axes.text(x, 1.0, words, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
    for y, words in plot.levels:
        axes.axhline(y, color=INK, lw=1, ls=DASHED)
        axes.text(
            0.01, y, words, transform=axes.get_yaxis_transform(), va="bottom", bbox=dict(HALO)
        )  # fmt: skip


def _spreads(one: Series) -> Sequence[float]:
    return one.spread or (0.0,) * len(one.y)
