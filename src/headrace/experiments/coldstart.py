"""How long a replica takes to be ready, by phase, and what that means for time limits and scaling.

`coldstart_load.py` starts them; here is what follows, from figures alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.finding import Conclusion, Plot, Series
from headrace.experiments.measured import mean_of
from headrace.experiments.repeats import whisker
from headrace.experiments.words import percent, seconds
from headrace.fleet.units import format_duration
from headrace.pages.html import Table
from headrace.starts.start import in_order
from headrace.starts.summary import PLANNED, Spread
from headrace.traffic.quantile import quantile_of_ascending

SPARE = 2.0
"""Times the longest start seen that a time limit should allow."""
FEW = 5
"""Starts below which a high percentile is little more than the longest of them."""
_STEP = 30
"""Seconds in which a time limit is rounded up."""
_MATTERS = 0.1


class Cache(StrEnum):
    """What the page cache had of weights and engine when a start began."""

    FIRST = "as it was found"
    WARM = "warm"
    EMPTIED = "emptied"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet file says of starts: the time limit, when scaling looks, the least replicas.

    `look` is the longest time until scaling notices, in seconds.
    """

    limit: float
    look: float
    floor: int


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One start: seconds from the wish to the known answer, and of each phase.

    `whole` is with what comes before: reading the file, checking the weights, the gateway.
    `resident` is the share of the weights that was in memory at the beginning.
    """

    cache: Cache
    phases: dict[str, float]
    whole: float
    resident: float | None = None
    rules: Rules | None = None

    @property
    def ready(self) -> float:
        """Seconds of all phases."""
        return sum(self.phases.values())


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say how long a start takes, what of it, and which settings that speaks for."""
    usual = _usual(points)
    figures = _figures(points, usual)
    return Conclusion(
        words=tuple(_words(points, usual, case)),
        tables=(_table(points),),
        plots=(_plot(points),),
        figures=figures,
        variants={AS_IT_IS.label: figures},
        doubts=tuple(_doubts(points, usual)),
        supports=tuple(_supports(points)),
        next=(
            "headrace starts: what every real start took since;"
            " headrace experiment restart: what clients see of the other end of a replica"
        ),
    )


def _usual(points: Sequence[Point]) -> list[Point]:
    """Return the starts with a warm cache, else all: those of a machine that runs the model."""
    return _of(points, Cache.WARM) or list(points)


def _of(points: Sequence[Point], cache: Cache) -> list[Point]:
    return [one for one in points if one.cache is cache]


def _words(points: Sequence[Point], usual: Sequence[Point], case: Case) -> Iterator[str]:
    ready = Spread.of([one.ready for one in usual])
    n = f"{ready.count} start" + ("s" if ready.count > 1 else "")
    yield (
        f"a replica of {case.deployment} is ready {seconds(ready.p50)} after it is wanted"
        f" (median of {n}, the longest {seconds(ready.longest)})"
    )
    yield _dominant(usual)
    if (cold := _of(points, Cache.EMPTIED)) and cold != usual:
        yield _emptied(usual, cold)
    yield _limit(points)
    yield from _scaling(points, case)


def _dominant(usual: Sequence[Point]) -> str:
    phases = _means(usual)
    total = sum(phases.values())
    longest = sorted(phases.items(), key=lambda one: -one[1])
    if not total:
        return "it does not tell what of"
    said = ", then ".join(
        f"{name} ({seconds(took)}, {percent(took / total)})" for name, took in longest[:2] if took
    )
    return f"most of it is {said}"


def _emptied(usual: Sequence[Point], cold: Sequence[Point]) -> str:
    before, after = (mean_of(one.ready for one in some) or 0.0 for some in (usual, cold))
    if after - before < _MATTERS * before:
        return (
            "with weights and engine out of the page cache it takes"
            f" {seconds(after)}: the disk is no part of what there is to win"
        )
    warm, now = _means(usual), _means(cold)
    worst = max(now, key=lambda name: now[name] - warm.get(name, 0.0))
    return (
        f"with weights and engine out of the page cache it takes {seconds(after)}, most of the"
        f" difference in {worst} ({seconds(warm.get(worst, 0.0))} -> {seconds(now[worst])}): plan"
        " with this for a new machine"
    )


def wanted_limit(points: Sequence[Point]) -> float:
    """Return the time limit that the starts speak for: twice the longest, in whole half minutes."""
    longest = max(one.ready for one in points)
    return _STEP * math.ceil(SPARE * longest / _STEP)


def _limit(points: Sequence[Point]) -> str:
    wanted, rules = wanted_limit(points), points[0].rules
    if rules is None:
        return f"a startup time limit should be {format_duration(wanted)} or more"
    said = f"the time limit, lifecycle.startup, is {format_duration(rules.limit)}"
    if rules.limit < wanted:
        twice = f"twice the longest start is {format_duration(wanted)}"
        return f"{said}, which a slow start may overrun: {twice}, so make it that or more"
    return f"{said}, enough: twice the longest start is at most {format_duration(wanted)}"


def _scaling(points: Sequence[Point], case: Case) -> Iterator[str]:
    late, rules = lead(points), points[0].rules
    if rules is None:
        return
    yield (
        f"scaling helps {seconds(late + rules.look)} after more is needed: up to"
        f" {seconds(rules.look)} until it looks, and a start of {seconds(late)} (p90 of all);"
        " what grows faster has to be queued, served elsewhere, or met by replicas that are there"
        " already"
    )
    if rules.floor == 0:
        promise = f"; promised are {seconds(case.ttft)}" if case.ttft is not None else ""
        yield (
            f"with scaling.min 0 whoever wakes it waits {seconds(late)}{promise}: min 1 where that"
            " is too long"
        )


def lead(points: Sequence[Point]) -> float:
    """Return the start that scaling should reckon with: the 90 % quantile of all."""
    return quantile_of_ascending(sorted(one.ready for one in points), PLANNED)


def _table(points: Sequence[Point]) -> Table:
    groups = [(cache, some) for cache in Cache if (some := _of(points, cache))]
    names = list(in_order({name: 0.0 for one in points for name in one.phases}))
    rows = [(name, *(seconds(_means(some).get(name)) for _, some in groups)) for name in names]
    rows.append(("ready", *(seconds(mean_of(one.ready for one in some)) for _, some in groups)))
    rows.append(("longest", *(seconds(max(one.ready for one in some)) for _, some in groups)))
    rows.append(
        ("headrace up, whole", *(seconds(mean_of(one.whole for one in some)) for _, some in groups))
    )
    rows.append(
        (
            "weights in memory before",
            *(percent(mean_of(one.resident for one in some)) for _, some in groups),
        )
    )
    rows.append(("starts", *(str(len(some)) for _, some in groups)))
    head = ("mean of phase", *(f"page cache {cache}" for cache, _ in groups))
    return Table(head, tuple(rows))


def _plot(points: Sequence[Point]) -> Plot:
    names = tuple(in_order({name: 0.0 for one in points for name in one.phases}))
    series = []
    warm = bool(_of(points, Cache.WARM))
    for cache in Cache:
        if (some := _of(points, cache)) and not (warm and cache is Cache.FIRST):
            means = _means(some)
            took = ([one.phases[name] for one in some if name in one.phases] for name in names)
            spread = tuple(map(whisker, took))
            series.append(Series(cache, names, tuple(means.get(name) for name in names), spread))
    return Plot(
        heading="Where the time goes",
        reading="Seconds of each phase; whiskers are the range of the starts.",
        x="phase",
        y="seconds",
        series=tuple(series),
        kind="bars",
    )


def _means(some: Sequence[Point]) -> dict[str, float]:
    names = dict.fromkeys(name for one in some for name in one.phases)
    return {name: mean_of(one.phases.get(name) for one in some) or 0.0 for name in names}


def _figures(points: Sequence[Point], usual: Sequence[Point]) -> dict[str, Figure]:
    ready = Spread.of([one.ready for one in usual])
    made = {
        "start p50": Figure(value=ready.p50, unit="s", n=ready.count),
        "start longest": Figure(value=ready.longest, unit="s", n=ready.count),
        "start p90 of all": Figure(value=lead(points), unit="s", n=len(points)),
    }
    if cold := _of(points, Cache.EMPTIED):
        mean = mean_of(one.ready for one in cold) or 0.0
        made["start, page cache emptied"] = Figure(value=mean, unit="s", n=len(cold))
    return made | {
        f"phase {name}": Figure(value=took, unit="s", n=len(usual))
        for name, took in _means(usual).items()
    }


def _doubts(points: Sequence[Point], usual: Sequence[Point]) -> Iterator[str]:
    if len(usual) < FEW:
        few = "one start tells" if len(usual) == 1 else f"{len(usual)} starts tell"
        yield f"{few} the usual one; the rare slow one only the ledger will show"
    if not _of(points, Cache.EMPTIED):
        yield "no start was measured with an empty page cache, as a new machine has it"
    left = [one.resident for one in _of(points, Cache.EMPTIED) if one.resident]
    if left and max(left) > _MATTERS:
        yield f"{percent(max(left))} of the weights stayed in memory: something else has them open"


def _supports(points: Sequence[Point]) -> Iterator[Support]:
    rules, longest = points[0].rules, seconds(max(one.ready for one in points))
    if rules is not None:
        yield Support(
            setting="lifecycle.startup",
            value=format_duration(rules.limit),
            holds=rules.limit >= wanted_limit(points),
            says=f"the longest of {len(points)} starts took {longest}",
        )
