"""Plots over the time of a run: what was in flight and waited, first tokens, throughput, lag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from headrace.bench.answers import Answer
from headrace.bench.flight import steps, thinned
from headrace.bench.own import summed
from headrace.bench.run import Run
from headrace.bench.samples import Sample
from headrace.bench.series import BINS, Values, binned, edges, gauge, middles, outline
from headrace.bench.spread import known
from headrace.bench.words import number, percent, rate, seconds
from headrace.pages.canvas import DASHED, NUMBERS, painted, spread
from headrace.pages.theme import BAD, GRID, INK, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 1500
"""Requests that are drawn one by one."""
_FAILURES = 300
_TIME = "s from the run's beginning"
_HIGH = 6.0
"""From this ratio of the slowest to the median on, first tokens are on a logarithmic axis."""


def timeline(run: Run, start: float, end: float) -> str:
    """Plot what was in flight, what waited where, how full the KV cache was; warm-up grey."""
    alive = [one for one in run.answers if one.ended >= 0]
    made = thinned(steps(alive), 2 * BINS)
    at = edges(0.0, max(end, made[-1][0]), width=_look(run.samples))
    engines = [one for one in run.samples if one.source.startswith("engine")]
    cache = gauge(engines, "kv_usage", at, worst=True)
    has_cache = not np.isnan(cache).all()
    warm = start if any(one.warmup for one in run.answers) else 0.0
    alt = f"Requests in flight over {seconds(end)}, at most {max(count for _, count in made):,}"
    if has_cache:
        alt += f"; KV cache at most {percent(float(np.nanmax(cache)))} full"

    def paint(figure: Figure) -> None:
        if has_cache:
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
            lower.plot(middles(at), 100 * cache, color=SERIES[4], lw=1.4)
            lower.set(ylabel="KV, % full", ylim=(0, 104), xlabel=_TIME)
            _warmup(lower, warm)
        else:
            upper = figure.subplots()
            upper.set_xlabel(_TIME)
        _counts(upper, made, run.samples, at)
        _warmup(upper, warm)
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper left", ncols=3)

    return painted(alt, 4.4 if has_cache else 3.2, paint)


def _look(samples: Sequence[Sample]) -> float:
    """Return seconds in which every page was looked at once."""
    engine = [one.at for one in samples if one.source != "client"]
    looks = sorted({round(at, 1) for at in engine})
    return 1.01 * float(np.median(np.diff(looks))) if len(looks) > 2 else 1.0  # noqa: PLR2004 - two gaps


def _counts(
    axes: Axes, made: Sequence[tuple[float, int]], samples: Sequence[Sample], at: Values
) -> None:
    """Draw the client's own count, then what gateway and engines say of theirs."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - who paints imports it

    axes.step(*zip(*made, strict=True), where="post", color=INK, lw=1.2, label="in flight (client)")
    engines = [one for one in samples if one.source.startswith("engine")]
    lines = [
        ("running (engine)", gauge(engines, "running", at), 2),
        ("waiting (engine)", gauge(engines, "waiting", at), 1),
        ("queued (gateway)", _gateway(samples, "headrace_queued", at), 3),
        ("held (gateway)", _gateway(samples, "headrace_held", at), 6),
    ]
    for name, values, colour in lines:
        if np.nan_to_num(values).any():
            axes.plot(middles(at), values, color=SERIES[colour], lw=1.4, label=name)
    axes.set(ylabel="requests", ylim=(0, None))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True)


def _gateway(samples: Sequence[Sample], name: str, at: Values) -> Values:
    looks = [
        Sample(at=one.at, source="gateway", values={name: value})
        for one in samples
        if one.source == "gateway" and (value := summed(one, name)) is not None
    ]
    return gauge(looks, name, at)


def _warmup(axes: Axes, until: float) -> None:
    if until > 0:
        axes.axvspan(0, until, color=GRID, lw=0, alpha=0.6)
    axes.set_xlim(left=0)


def first_tokens(answers: Sequence[Answer], slo: dict[str, float]) -> tuple[str, int, int]:
    """Plot each request's TTFT over when it was due.

    Also return how many whole answers and how many failures were drawn.

    A failed one stands where it ended, by its time until then.
    """
    good = [one for one in answers if one.failure is None and one.ttft_due is not None]
    bad = [one for one in answers if one.failure is not None][:: _every(answers)]
    at, values = known(one.due for one in good), known(one.ttft_due for one in good)
    kept = outline(at, values, POINTS)
    alt = f"TTFT of {len(good):,} requests over the run"
    if len(values):
        alt += f", from {seconds(float(values.min()))} to {seconds(float(values.max()))}"

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        style = {"ls": "none", "marker": "o", "ms": 2.2, "mew": 0}
        axes.plot(at[kept], values[kept], color=SERIES[0], label="whole answer", **style)  # type: ignore[arg-type]
        if bad:
            x, y = [one.due for one in bad], [max(one.e2e_due, 1e-4) for one in bad]
            axes.plot(x, y, ls="none", marker="x", ms=4, color=BAD, label="failed, after")
        most = _scale(axes, [*values, *(one.e2e_due for one in bad)])
        if slo.get("ttft", most) < most:
            axes.axhline(slo["ttft"], color=INK, lw=1, ls=DASHED, label="promised")
        axes.set(xlabel=f"due, {_TIME}", ylabel="TTFT, s")
        axes.grid(visible=True)
        figure.legend(loc="outside upper left", ncols=3, markerscale=2)

    return painted(alt, 3.2, paint), len(kept), len(bad)


def _every(answers: Sequence[Answer]) -> int:
    failures = sum(one.failure is not None for one in answers)
    return max(1, -(-failures // _FAILURES))


def _scale(axes: Axes, values: Sequence[float]) -> float:
    """Let the axis show the values; return where it ends."""
    shown = [value for value in values if value > 0]
    if shown and max(shown) > _HIGH * float(np.median(shown)):
        spread(axes, "y", min(shown), max(shown))
    else:
        spread(axes, "y", 0, max(shown, default=1.0))
    return float(axes.get_ylim()[1])


def throughput(answers: Sequence[Answer], start: float, end: float) -> str:
    """Plot answers that were over and output tokens, a second, over the run."""
    at = edges(start, end, width=max(1.0, (end - start) / BINS))
    width = float(at[1] - at[0])
    good = [one for one in answers if one.failure is None]
    over = np.array([one.ended for one in good])
    answered = np.histogram(over, at)[0] / width
    due = np.histogram([one.due for one in answers], at)[0] / width
    tokens = _tokens(good, at) / width
    alt = (
        f"Answers a second over the run: {rate(float(answered.mean()))} in the mean; output tokens"
        f" a second: {rate(float(tokens.mean()))}"
    )

    def paint(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        upper.stairs(due, at, baseline=None, color=SERIES[7], lw=1.2, label="due")
        upper.stairs(answered, at, baseline=None, color=SERIES[0], lw=1.5, label="answered")
        upper.set(ylabel="requests/s", ylim=(0, None))
        lower.stairs(tokens, at, baseline=None, color=SERIES[2], lw=1.5)
        lower.set(ylabel="output tokens/s", ylim=(0, None), xlabel=_TIME)
        for axes in (upper, lower):
            axes.grid(visible=True)
            axes.yaxis.set_major_formatter(NUMBERS)
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper left", ncols=2)

    return painted(alt, 3.8, paint)


def _tokens(good: Sequence[Answer], at: Values) -> Values:
    """Return output tokens by when they came: an answer's, spread over its events."""
    came, each = [np.zeros(0)], [np.zeros(0)]
    for one in good:
        if one.first is not None:
            came.append(one.first + np.cumsum([0.0, *one.gaps]))
            each.append(np.full(len(came[-1]), (one.output_tokens or 0) / len(came[-1])))
    return np.histogram(np.concatenate(came), at, weights=np.concatenate(each))[0]


def lag(answers: Sequence[Answer], start: float, end: float) -> str:
    """Plot how late requests were sent over the run: the median and the worst of each time."""
    at = edges(start, max(end, start + 1e-3), most=BINS // 2)
    due, late = known(one.due for one in answers), known(one.lag for one in answers)
    worst = 1000 * binned(due, late, at, lambda some: float(some.max()))
    middle = 1000 * binned(due, late, at, lambda some: float(np.median(some)))
    alt = f"Requests were sent {number(1000 * float(late.max()))} ms late at most"

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        there = ~np.isnan(worst)
        for name, line, colour in (("the latest", worst, 1), ("median", middle, 0)):
            x, y = middles(at)[there], line[there]
            axes.plot(x, y, color=SERIES[colour], lw=1.2, marker=".", ms=3, label=name)
        axes.set(xlabel=_TIME, ylabel="sent late by, ms", ylim=(0, None))
        axes.grid(visible=True)
        figure.legend(loc="outside upper left", ncols=2)

    return painted(alt, 2.4, paint)
