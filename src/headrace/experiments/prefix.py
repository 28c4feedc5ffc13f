"""What prefix caching is worth: prompts that share a beginning, conversations, and a control.

`prefix_load.py` measures with the cache on and off where a copy can be changed, else on what is
there; here is what follows, from figures alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion, Plot, Series
from headrace.experiments.measured import Measured, figures, mean_of
from headrace.experiments.repeats import Contrast, contrast, whisker
from headrace.experiments.words import changed, number, percent, seconds
from headrace.pages.html import Table

FLAG = "engine.flags.enable-prefix-caching"
_MS = 1000.0


class Kind(StrEnum):
    """What the prompts have in common."""

    SHARED = "a shared beginning"
    TALK = "conversations"
    CONTROL = "nothing shared"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of prompts, measured once; `cache` None: as it is, nobody could change it.

    `shared` are the tokens that the prompts of `Kind.SHARED` begin with alike.
    """

    kind: Kind
    cache: bool | None
    repeat: int
    shared: int
    run: Measured


Groups = Mapping[tuple[Kind, bool | None], list[Measured]]


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say how much sooner the first token comes, for which prompts, and what the cache costs."""
    groups: dict[tuple[Kind, bool | None], list[Measured]] = {}
    for one in points:
        groups.setdefault((one.kind, one.cache), []).append(one.run)
    ways = {cache for _, cache in groups}
    words = _unchanged(groups) if ways == {None} else _on_off(groups)
    return Conclusion(
        words=tuple(words),
        tables=(_table(groups, points[0].shared),),
        plots=(_plot(groups),),
        figures=_figures(groups),
        variants=_variants(groups),
        doubts=tuple(doubts_of((_name(one), one.run) for one in points)),
        supports=tuple(_supports(groups)),
        next=(
            "headrace bench with your own prompts (--file, or --trace of your traffic): what they"
            f" share decides; measured here for {case.model}"
        ),
    )


def _name(one: Point) -> str:
    return f"{one.kind}, {label(one.cache)} ({one.repeat + 1})"


def label(cache: bool | None) -> str:
    """Name a variant as its copy is named."""
    return {True: "prefix cache on", False: "prefix cache off", None: AS_IT_IS.label}[cache]


def ttft(before: Sequence[Measured], after: Sequence[Measured]) -> Contrast | None:
    """Return how the TTFT p50 differs; None where one of both has none."""
    pair = [[one.ttft_p50 for one in some if one.ttft_p50 is not None] for some in (before, after)]
    return contrast(*pair) if all(pair) else None


def _on_off(groups: Groups) -> Iterator[str]:
    if (Kind.SHARED, True) not in groups or (Kind.SHARED, False) not in groups:
        yield "only one of cache on and off was measured, so there is nothing to compare"
        return
    yield _answer(groups)
    for kind in (Kind.TALK, Kind.CONTROL):
        found = _pair(groups, kind)
        if found is not None:
            hits = percent(_hits(groups, kind, cache=True))
            yield f"{kind}: TTFT p50 {changed(found, time=True)}, {hits} of the prompt cached"
    before, after = (groups[Kind.SHARED, cache] for cache in (False, True))
    rates = contrast([one.output_tokens for one in before], [one.output_tokens for one in after])
    yield f"throughput with a shared beginning: {changed(rates, 'output tokens/s')}"


def _answer(groups: Groups) -> str:
    found = _pair(groups, Kind.SHARED)
    hits = percent(_hits(groups, Kind.SHARED, cache=True))
    if found is None:
        return "no request was answered whole, so nothing can be said"
    said = f"{changed(found, time=True)}, {hits} of the prompt tokens cached"
    if found.once:
        return (
            f"with a shared beginning the cache makes TTFT p50 {said}; measure more than once"
            " (without --quick) to be certain"
        )
    if not found.certain:
        return f"the cache makes no certain difference to a shared beginning: TTFT p50 {said}"
    if found.change > 0:
        return f"the cache makes prompts with a shared beginning slower: TTFT p50 {said}"
    times = found.before / found.after
    return (
        f"with the prefix cache the first token comes {times:.1f} times as soon where prompts share"
        f" their beginning: TTFT p50 {said}"
    )


def _unchanged(groups: Groups) -> Iterator[str]:
    found = ttft(groups.get((Kind.CONTROL, None), []), groups.get((Kind.SHARED, None), []))
    if found is None:
        yield "too little was answered to compare prompts that share a beginning with others"
        return
    hits = _hits(groups, Kind.SHARED, cache=None)
    told = "" if hits is None else f"; {percent(hits)} of the prompt tokens came from a cache"
    said = f"TTFT p50 {changed(found, time=True)}{told}"
    if found.certain and found.change < 0:
        yield f"this endpoint caches prefixes: a shared beginning makes {said}"
    elif hits:
        yield f"a cache is used, but makes no certain difference: {said}"
    else:
        yield f"no sign of a prefix cache: a shared beginning makes no certain difference, {said}"
    yield "on and off were not compared, because nothing is changed in what is up already"


def _pair(groups: Groups, kind: Kind) -> Contrast | None:
    return ttft(groups.get((kind, False), []), groups.get((kind, True), []))


def _hits(groups: Groups, kind: Kind, *, cache: bool | None) -> float | None:
    return mean_of(one.hit_share for one in groups.get((kind, cache), ()))


def _table(groups: Groups, shared: int) -> Table:
    head = ("prompts", "cache", "prompt tokens", "cached", "TTFT p50", "TTFT p95", "tokens/s")
    rows = tuple(
        (
            str(kind),
            label(cache).removeprefix("prefix cache "),
            number(mean_of(one.prompt_mean for one in some)),
            percent(mean_of(one.hit_share for one in some)),
            seconds(mean_of(one.ttft_p50 for one in some)),
            seconds(mean_of(one.ttft_p95 for one in some)),
            number(mean_of(one.output_tokens for one in some)),
        )
        for (kind, cache), some in sorted(groups.items(), key=_place)
    )
    return Table(head, rows, words=(0, 1), caption=f"{shared} tokens are shared where any are")


def _place(item: tuple[tuple[Kind, bool | None], list[Measured]]) -> tuple[int, bool]:
    (kind, cache), _ = item
    return list(Kind).index(kind), bool(cache)


def _plot(groups: Groups) -> Plot:
    caches = sorted({cache for _, cache in groups}, key=bool)
    series = tuple(_series(groups, cache) for cache in caches)
    return Plot(
        heading="Time to first token",
        reading="Lower is better. Whiskers are the range of the repeats.",
        x="",
        y="TTFT p50, ms",
        kind="bars",
        series=series,
    )


def _series(groups: Groups, cache: bool | None) -> Series:
    some = {kind: groups[kind, cache] for kind in Kind if (kind, cache) in groups}
    values = [
        [one.ttft_p50 * _MS for one in runs if one.ttft_p50 is not None] for runs in some.values()
    ]
    return Series(
        label(cache),
        tuple(map(str, some)),
        tuple(mean_of(one) for one in values),
        tuple(map(whisker, values)),
    )


def _figures(groups: Groups) -> dict[str, Figure]:
    made: dict[str, Figure] = {}
    for kind in Kind:
        found = _pair(groups, kind)
        if found is not None:
            n = len(groups[kind, True])
            made[f"ttft p50 change, {kind}"] = Figure(value=found.share, unit="share", n=n)
    return made


def _variants(groups: Groups) -> dict[str, dict[str, Figure]]:
    made: dict[str, dict[str, Figure]] = {}
    for (kind, cache), some in groups.items():
        named = made.setdefault(label(cache), {})
        for name, figure in figures(some).items():
            named[f"{name}, {kind}"] = figure
    return made


def _supports(groups: Groups) -> Iterator[Support]:
    """Yield the flag where it surely helps shared beginnings and does not surely harm others."""
    found, control = _pair(groups, Kind.SHARED), _pair(groups, Kind.CONTROL)
    if found is None or not found.certain or found.change >= 0:
        return
    if control is not None and control.certain and control.change > 0:
        return
    says = f"TTFT p50 {changed(found, time=True)} where prompts share their beginning"
    yield Support(setting=FLAG, value=True, variant=label(True), says=says)
