"""Plots of money and time: the options of a choice against each other, one option by its rate.

Times are estimates, so each is drawn with the error of its `Efficiency`. As in `plots.py`, figures
of `capacity` go in and an SVG element comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from headrace.capacity.choose import Choice, Ranked
from headrace.capacity.cost import Cost
from headrace.capacity.cost_curve import Point
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.options import Option
from headrace.capacity.slo import Slo
from headrace.capacity.steady import State
from headrace.capacity.words import span
from headrace.pages.canvas import DASHED, NUMBERS, painted, plain, spread
from headrace.pages.theme import BAD, HALO, INK, MUTED, SERIES
from headrace.planning.labels import Label, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Latency = Literal["ttft", "tpot"]
MARKER = 6
"""Points."""
SHAPES = "osD^v"
"""Colours are used again with the next shape."""
FAR_OFF = 3.0
"""An SLO beyond so many times the largest value is said and not drawn."""
FOUR_DIGITS = 999.5
MONEY = "cost per 1,000 requests"


def cost_latency(
    choice: Choice, slo: Slo, latency: Latency = "tpot", currency: str = "", most: int = 40
) -> str:
    """Plot the first `most` options that keep the SLO: a latency's p95 against cost.

    Numbers are places in the ranking. An option that none is cheaper and faster than is on the
    line, and named. Empty if there are none.
    """
    shown = choice.kept[:most]
    if not shown:
        return ""
    name = latency.upper()
    alt = f"Cost and {name} p95 of options that keep {slo}; none beats, by both: " + "; ".join(
        f"{ranked.place}. {ranked.option.name}, {span(_p95(ranked.option.state, latency))},"
        f" {digits(ranked.option.cost.thousand_requests)}"
        for ranked in best(shown, latency)
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xlabel(f"{name} p95, ms, with the error of the estimate")
        axes.set_ylabel(_money(currency))
        axes.grid(visible=True)
        _options(axes, shown, latency)
        _cost_limits(axes, shown)
        _time_limits(axes, shown, latency, slo)
        figure.legend(loc="outside upper left", ncols=5)
        place(axes, list(_labels(shown, latency)), MARKER)

    return painted(alt, 4.6, paint)


def digits(value: float) -> str:
    """Write a value with three digits, thousands in full."""
    return f"{value:,.0f}" if value >= FOUR_DIGITS else f"{value:#.3g}".rstrip(".")


def best(shown: Sequence[Ranked], latency: Latency) -> list[Ranked]:
    """Return the options that none is cheaper and faster than, cheapest first."""
    found: list[Ranked] = []
    for ranked in sorted(shown, key=lambda one: _costs(one, latency)):
        if not found or _p95(ranked.option.state, latency) < _p95(found[-1].option.state, latency):
            found.append(ranked)
    return found


def _costs(ranked: Ranked, latency: Latency) -> tuple[float, float]:
    option = ranked.option
    return option.cost.thousand_requests, _p95(option.state, latency)


def _options(axes: Axes, shown: Sequence[Ranked], latency: Latency) -> None:
    """Draw each option in its accelerator's colour, with error bars, and the line of the best."""
    line = [_at(ranked.option, latency) for ranked in best(shown, latency)]
    axes.plot(*zip(*line, strict=True), color=MUTED, lw=1, drawstyle="steps-pre", zorder=1)
    accelerators = sorted({one.option.setup.accelerator.name for one in shown})
    for number, accelerator in enumerate(accelerators):
        mine = [one.option for one in shown if one.option.setup.accelerator.name == accelerator]
        points = [_at(option, latency) for option in mine]
        errors = [x * option.efficiency.error for (x, _), option in zip(points, mine, strict=True)]
        axes.errorbar(
            [x for x, _ in points],
            [y for _, y in points],
            xerr=errors,
            color=SERIES[number % len(SERIES)],
            fmt=SHAPES[number // len(SERIES) % len(SHAPES)],
            ms=MARKER,
            elinewidth=0.6,
            label=plain(accelerator).lstrip("_"),
        )


def _labels(shown: Sequence[Ranked], latency: Latency) -> Iterator[Label]:
    """Yield the labels of the best first, so that they find room."""
    named = best(shown, latency)
    for ranked in named:
        words = plain(ranked.option.name)
        yield Label(*_at(ranked.option, latency), f"{ranked.place}: {words}", f"{ranked.place}")
    for ranked in shown:
        if ranked not in named:
            yield Label(*_at(ranked.option, latency), f"{ranked.place}")


def _at(option: Option, latency: Latency) -> tuple[float, float]:
    return 1000 * _p95(option.state, latency), option.cost.thousand_requests


def _p95(state: State, latency: Latency) -> float:
    return state.ttft_p95 if latency == "ttft" else state.tpot_p95


def _cost_limits(axes: Axes, shown: Sequence[Ranked]) -> None:
    costs = [one.option.cost.thousand_requests for one in shown]
    spread(axes, "y", min(costs), max(costs))


def _time_limits(axes: Axes, shown: Sequence[Ranked], latency: Latency, slo: Slo) -> None:
    """Make room for times with their errors, and for the SLO unless that is far off."""
    times = [_at(one.option, latency)[0] for one in shown]
    errors = [one.option.efficiency.error for one in shown]
    low = min(time * (1 - error) for time, error in zip(times, errors, strict=True))
    high = max(time * (1 + error) for time, error in zip(times, errors, strict=True))
    bound = 1000 * (slo.ttft if latency == "ttft" else slo.tpot)
    drawn = bound <= FAR_OFF * high
    spread(axes, "x", max(low, min(times) / 10), max(high, bound) if drawn else high)
    if drawn:
        axes.axvline(bound, color=BAD, lw=1.2, ls=DASHED)
    words = f"SLO {span(bound / 1000)}" + ("" if drawn else ", far to the right")
    axes.annotate(
        words,
        (bound if drawn else axes.get_xlim()[1], 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-3, 2),
        textcoords="offset points",
        ha="right",
        color=BAD,
    )


def cost_rate(
    points: Sequence[Point],
    slo: Slo,
    efficiency: Efficiency,
    *,
    rate: float | None = None,
    single: Cost | None = None,
    currency: str = "",
) -> str:
    """Plot cost, TTFT p95 and TPOT p95 of one replica against its rate, times with their error.

    `rate` is that of a replica in the plan, `single` the cost of one request at a time. Empty if
    there are no points.
    """
    if not points:
        return ""
    alt = f"One replica by its rate ({efficiency.label}): " + "; ".join(
        f"{digits(point.state.rate)} requests/s cost {digits(point.cost.thousand_requests)} per"
        f" 1,000, TTFT p95 {span(point.state.ttft_p95)}, TPOT p95 {span(point.state.tpot_p95)}"
        for point in points
    )

    def paint(figure: Figure) -> None:
        money, *times = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2])
        _cost_by_rate(money, points, single)
        money.set_ylabel(_money(currency).replace(" per", "\nper"))
        _time_by_rate(times[0], points, "ttft", slo, efficiency.error)
        _time_by_rate(times[1], points, "tpot", slo, efficiency.error)
        times[-1].set_xlabel("requests a second to one replica")
        times[-1].set_xlim(0, 1.04 * points[-1].state.rate)
        for axes in (money, *times):
            axes.grid(visible=True)
            if rate is not None:
                axes.axvline(rate, color=INK, lw=1, ls=DASHED)
        if rate is not None:
            money.annotate(
                f"planned: {digits(rate)}/s",
                (rate, 1.0),
                xycoords=money.get_xaxis_transform(),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
            )
        figure.align_ylabels()

    return painted(alt, 5.4, paint)


def _cost_by_rate(axes: Axes, points: Sequence[Point], single: Cost | None) -> None:
    costs = [point.cost.thousand_requests for point in points]
    axes.plot([point.state.rate for point in points], costs, color=SERIES[2], marker="o", ms=4)
    if single is not None:
        costs.append(single.thousand_requests)
        axes.axhline(costs[-1], color=MUTED, lw=1, ls=DASHED)
        axes.annotate(
            f"one request at a time: {digits(costs[-1])}",
            (1.0, costs[-1]),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-2, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            bbox=HALO,
        )
    spread(axes, "y", min(costs), max(costs))


def _time_by_rate(
    axes: Axes, points: Sequence[Point], latency: Latency, slo: Slo, error: float
) -> None:
    """Draw a latency with its error as a band, and its SLO; what is far beyond that is cut off."""
    bound, colour = (slo.ttft, SERIES[0]) if latency == "ttft" else (slo.tpot, SERIES[3])
    rates = [point.state.rate for point in points]
    times = [1000 * _p95(point.state, latency) for point in points]
    low, high = ([one * (1 + sign * error) for one in times] for sign in (-1, 1))
    axes.fill_between(rates, low, high, color=colour, alpha=0.2, lw=0)
    axes.plot(rates, times, color=colour, marker="o", ms=4)
    axes.set_ylabel(f"{latency.upper()} p95,\nms")
    axes.yaxis.set_major_formatter(NUMBERS)
    top = max(high)
    if 1000 * bound <= FAR_OFF * top:
        axes.axhline(1000 * bound, color=BAD, lw=1.2, ls=DASHED)
        top = max(1000 * bound, min(times) * 2, min(top, FAR_OFF * 1000 * bound))
    drawn = 1000 * bound <= 1.08 * top
    axes.annotate(
        f"SLO {span(bound)}" + ("" if drawn else ",\nabove"),
        (1.0, 1000 * bound if drawn else 1.08 * top),
        xycoords=axes.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center" if drawn else "top",
        color=BAD,
    )
    axes.set_ylim(0, 1.08 * top)


def _money(currency: str) -> str:
    return f"{MONEY}, {plain(currency)}" if currency else MONEY
