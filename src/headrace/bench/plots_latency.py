"""Plots of how latencies spread: to the first token, per token, and the gaps in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from headrace.bench.series import Values, distribution
from headrace.bench.summary import Summary
from headrace.bench.words import seconds
from headrace.pages.canvas import DASHED, NUMBERS, painted, spread
from headrace.pages.theme import INK, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DUE, SENT, PACE = SERIES[0], SERIES[1], SERIES[2]
_BARS = 60
LEAST = 1e-4
"""Seconds: gaps below it came in one piece from the network."""


def distributions(
    ttft_due: Values, ttft: Values, tpot: Values, summary: Summary, slo: dict[str, float]
) -> str:
    """Plot which share of requests had their first token, and their pace, within which time."""
    due, pace = summary.latencies.ttft_due, summary.latencies.tpot
    alt = (
        f"Share of requests by TTFT: p50 {seconds(due.p50)}, p95 {seconds(due.p95)}, p99"
        f" {seconds(due.p99)}; by TPOT: p50 {seconds(pace.p50)}, p95 {seconds(pace.p95)}"
    )

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        _shares(left, [(ttft_due, DUE, "from when it was due"), (ttft, SENT, "from sending")], 1.0)
        _bound(left, slo.get("ttft"), 1.0)
        left.set(xlabel="TTFT, s", ylabel="% of requests", ylim=(0, 101))
        _shares(right, [(tpot, PACE, "TPOT")], 1000.0)
        _bound(right, slo.get("tpot"), 1000.0)
        right.set(xlabel="TPOT, ms")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2)

    return painted(alt, 3.3, paint)


def _shares(axes: Axes, lines: Sequence[tuple[Values, str, str]], factor: float) -> None:
    shown = [values for values, _, _ in lines if len(values)]
    for values, colour, name in lines:
        if len(values):
            x, share = distribution(values * factor)
            style = "--" if colour == SENT else "-"
            axes.step(x, 100 * share, color=colour, lw=1.6, ls=style, label=name, where="post")
    if shown:
        every = np.concatenate(shown) * factor
        spread(axes, "x", max(float(every.min()), 1e-6), float(every.max()))
    axes.grid(visible=True)


def _bound(axes: Axes, bound: float | None, factor: float) -> None:
    """Mark a promise, where the axis reaches it."""
    if bound is None or not axes.get_xlim()[0] < bound * factor < axes.get_xlim()[1]:
        return
    axes.axvline(bound * factor, color=INK, lw=1, ls=DASHED)
    axes.text(
        bound * factor, 1.0, "promised", transform=axes.get_xaxis_transform(), ha="center",
        va="bottom",
    )  # fmt: skip


def gaps(values: Values, stall: float) -> str:
    """Plot how many gaps between events had which length; longer ones than `stall` are stalls."""
    long = int((values > stall).sum())
    alt = (
        f"{len(values):,} gaps between events: median {seconds(float(np.median(values)))}, longest"
        f" {seconds(float(values.max()))}, {long:,} longer than {seconds(stall)}"
    )
    low, high = max(float(values.min()), LEAST), max(float(values.max()), 10 * LEAST)
    bounds = np.geomspace(low * 0.99, high * 1.01, _BARS + 1)
    counts, _ = np.histogram(np.maximum(values, low), bounds)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        colours = [SERIES[1] if left > stall else SERIES[0] for left in bounds[:-1]]
        axes.bar(
            1000 * bounds[:-1], counts, 1000 * np.diff(bounds), align="edge", color=colours, lw=0
        )
        axes.set_yscale("log")
        axes.set_ylim(0.7, 2 * max(int(counts.max()), 1))
        axes.yaxis.set_major_formatter(NUMBERS)
        axes.set_yticks([], minor=True)
        spread(axes, "x", 1000 * low, 1000 * high)
        axes.set(xlabel="gap between two events, ms", ylabel="gaps")
        axes.grid(visible=True, axis="y")
        if low < stall < high:
            axes.axvline(1000 * stall, color=INK, lw=1, ls=DASHED)
            axes.text(1000 * stall, 1.0, "stalls from here", transform=axes.get_xaxis_transform())

    return painted(alt, 2.8, paint)
