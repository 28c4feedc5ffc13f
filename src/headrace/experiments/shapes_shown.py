"""The tables and plots of `shapes`."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.experiments.finding import Plot, Series
from headrace.experiments.measured import Measured, mean_of
from headrace.experiments.shapes_points import Arm, Costs, Kind, Point, against_alone, short_in
from headrace.experiments.words import number, percent, seconds
from headrace.pages.html import Table
from headrace.traffic.quantile import quantile

_MS = 1000.0


def tables(points: Sequence[Point], costs: Costs | None) -> tuple[Table, ...]:
    """Return the kinds by themselves, and the short requests in each arm."""
    return tuple(table for table in (_kinds(points, costs), _arms(points)) if table.rows)


def _kinds(points: Sequence[Point], costs: Costs | None) -> Table:
    head = ("by itself", "tokens", "requests/s", "engine time of one", "TTFT p50", "TPOT p50")
    rows = tuple(
        _kind(kind, some, costs)
        for kind in Kind
        if (some := [one.run for one in points if one.kind is kind])
    )
    return Table(head, rows, caption="each kind by itself, as fast as it goes")


def _kind(kind: Kind, some: Sequence[Measured], costs: Costs | None) -> tuple[str, ...]:
    prompt, answer = (mean_of(getattr(one, name) for one in some) for name in _LENGTHS)
    return (
        str(kind),
        f"{number(prompt)} + {number(answer)}",
        number(mean_of(one.requests for one in some)),
        seconds(costs.requests[kind] if costs else None),
        seconds(mean_of(one.ttft_p50 for one in some)),
        seconds(mean_of(one.tpot_p50 for one in some)),
    )


_LENGTHS = ("prompt_mean", "output_mean")


def _arms(points: Sequence[Point]) -> Table:
    head = (
        "short requests", "answers", "TTFT p50", "TTFT p95", "TPOT p95", "TTFT p95 changes",
        "running", "waiting",
    )  # fmt: skip
    rows = tuple(_arm(points, arm) for arm in Arm if short_in(points, arm, "ttft"))
    rate = next((one.rate for one in points if one.arm), 0.0)
    caption = f"short requests at {number(rate)} a second, alone and beside others"
    return Table(head, rows, caption=caption)


def _arm(points: Sequence[Point], arm: Arm) -> tuple[str, ...]:
    ttft, tpot = short_in(points, arm, "ttft"), short_in(points, arm, "tpot")
    found = None if arm is Arm.ALONE else against_alone(points, arm, "ttft")
    runs = [one.run for one in points if one.arm is arm]
    return (
        str(arm),
        str(len(ttft)),
        seconds(quantile(ttft, 0.50)),
        seconds(quantile(ttft, 0.95)),
        seconds(quantile(tpot, 0.95)),
        "" if found is None else percent(found.change, signed=True),
        number(mean_of(one.running for one in runs)),
        number(mean_of(one.waiting for one in runs)),
    )


def plots(points: Sequence[Point], costs: Costs | None) -> tuple[Plot, ...]:
    """Return what a request of each kind takes, and what short ones feel in each arm."""
    return tuple(plot for plot in (_costs(costs), _felt(points)) if plot is not None)


def _costs(costs: Costs | None) -> Plot | None:
    if costs is None:
        return None
    kinds = tuple(map(str, costs.requests))
    values = tuple(_MS * cost for cost in costs.requests.values())
    return Plot(
        heading="What a request takes of the engine",
        reading="The time of one request when the engine does nothing but requests of its kind.",
        x="",
        y="engine time, ms",
        kind="bars",
        series=(Series("engine time", kinds, values),),
    )


def _felt(points: Sequence[Point]) -> Plot | None:
    arms = [arm for arm in Arm if short_in(points, arm, "ttft")]
    if not arms:
        return None
    series = tuple(
        Series(
            f"TTFT p{100 * share:.0f}",
            tuple(map(str, arms)),
            tuple(
                None if (value := quantile(short_in(points, arm, "ttft"), share)) is None
                else _MS * value
                for arm in arms
            ),
        )
        for share in (0.50, 0.95)
    )  # fmt: skip
    return Plot(
        heading="What short requests feel",
        reading="The same rate of short requests each time; lower is better.",
        x="",
        y="TTFT of short requests, ms",
        kind="bars",
        series=series,
    )
