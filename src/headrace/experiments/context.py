"""What the limit on a request's length costs: the same load with a lower max_model_len.

`context_load.py` measures; here is what follows, from figures alone. An engine that reserved the
limit for every request would hold fewer of them; one that pages holds what they really are. So
what a lower limit changes is looked at figure by figure: the promise in the engine's log, the KV
cache, memory, throughput, and who is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from headrace.bench.doubt import Kind
from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion, Plot, Series
from headrace.experiments.measured import Measured, figures, mean_of
from headrace.experiments.repeats import Contrast, contrast, whisker
from headrace.experiments.words import changed, number, percent
from headrace.fleet.units import format_size
from headrace.pages.html import Table


class Arm(StrEnum):
    """What is different in a copy."""

    FULL = "as it is"
    LOWER = "lower limit"
    LEAN = "lower limit, same promise"
    """The KV cache is smaller too: so many requests of the lower limit fit as before of the old."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One arm, measured once.

    `limit` and `kv_tokens` are tokens, `promise` the requests of full length that the engine's log
    says fit at once, `memory` the bytes of its processes after the run; `beyond` is the share of
    the routes' traffic that is longer than the limit, and `assumed` whose lengths were taken where
    they declare none.
    """

    arm: Arm
    repeat: int
    limit: int
    run: Measured
    kv_tokens: int | None = None
    promise: float | None = None
    memory: int | None = None
    beyond: float = 0.0
    assumed: str = ""

    @property
    def refused(self) -> float:
        """The share of the requests sent that the engine or the gateway refused."""
        return self.run.failures.get("refused", 0) / self.run.asked if self.run.asked else 0.0


Arms = Mapping[Arm, list[Point]]


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say what a lower limit changes, what it does not, and whom it would refuse."""
    arms = {arm: some for arm in Arm if (some := [one for one in points if one.arm is arm])}
    return Conclusion(
        words=tuple(_words(arms)),
        tables=(_table(arms),),
        plots=(_plot(arms),),
        figures=_figures(arms),
        variants={label(arm): figures([one.run for one in some]) for arm, some in arms.items()},
        doubts=tuple(_doubts(points)),
        supports=tuple(_supports(arms)),
        next=(
            f"headrace plan shows what other limits mean for the traffic of {case.deployment};"
            " headrace experiment batching what more requests at once are worth"
        ),
    )


def _doubts(points: Sequence[Point]) -> Iterator[str]:
    yield from doubts_of((f"{one.arm} ({one.repeat + 1})", _asked(one)) for one in points)
    if points[0].assumed:
        yield f"the routes' traffic says {points[0].assumed}"


def label(arm: Arm) -> str:
    """Name a variant as its copy is named."""
    return AS_IT_IS.label if arm is Arm.FULL else str(arm)


def _asked(point: Point) -> Measured:
    """Return the run without refusals: they are what is measured here, and no doubt about it."""
    run = point.run
    others = {name: count for name, count in run.failures.items() if name != "refused"}
    doubts = tuple(one for one in run.doubts if not point.refused or one.kind != Kind.FAILED)
    return msgspec.structs.replace(run, failed=sum(others.values()), failures=others, doubts=doubts)


def _rates(some: Sequence[Point]) -> list[float]:
    return [one.run.output_tokens for one in some]


def against(arms: Arms, arm: Arm) -> Contrast | None:
    """Return how the output tokens a second of an arm differ from the deployment as it is."""
    if Arm.FULL not in arms or arm not in arms:
        return None
    return contrast(_rates(arms[Arm.FULL]), _rates(arms[arm]))


def _words(arms: Arms) -> Iterator[str]:
    found = against(arms, Arm.LOWER)
    if found is None:
        yield f"only {', '.join(arms)} was measured, so there is nothing to compare"
        return
    full, lower = arms[Arm.FULL][0], arms[Arm.LOWER][0]
    yield _answer(arms, found)
    yield _promise(full, lower)
    yield _refusals(arms)
    yield from _pressure(arms)
    yield from _lean(arms)


def _answer(arms: Arms, found: Contrast) -> str:
    full, lower = arms[Arm.FULL][0].limit, arms[Arm.LOWER][0].limit
    what = f"max_model_len {full:,} -> {lower:,}"
    said = changed(found, "output tokens/s")
    refused = _refused(arms[Arm.LOWER])
    if refused:
        return (
            f"{what} refuses {percent(refused)} of these requests, so the limit is no mere tax: the"
            f" product needs its context, and a plan for it; throughput of the others: {said}"
        )
    if found.once:
        return f"{what}: {said}; measure more than once (without --quick) to tell a tax from noise"
    if not found.certain:
        return (
            f"{what} makes no difference to throughput larger than the noise: {said}; requests"
            " take KV blocks as they grow, not the limit"
        )
    if found.change > 0:
        return f"{what} raises throughput: {said}; the higher limit was a tax on this traffic"
    return f"{what} lowers throughput: {said}; look at the doubts before you believe it"


def _refused(some: Sequence[Point]) -> float:
    return mean_of(one.refused for one in some) or 0.0


def _promise(full: Point, lower: Point) -> str:
    if full.promise is None or lower.promise is None:
        return "the engine's log tells no number of requests of full length that fit at once"
    kv = "as before" if full.kv_tokens == lower.kv_tokens else f"{lower.kv_tokens or 0:,} now"
    return (
        f"the promise changes: {number(full.promise)} -> {number(lower.promise)} requests of full"
        f" length fit at once; the KV cache holds {full.kv_tokens or 0:,} tokens, {kv}"
    )


def _refusals(arms: Arms) -> str:
    full, lower = arms[Arm.FULL], arms[Arm.LOWER]
    return (
        f"refused of the requests sent: {percent(_refused(full))} with {full[0].limit:,},"
        f" {percent(_refused(lower))} with {lower[0].limit:,}; of the routes' traffic"
        f" {percent(lower[0].beyond)} is longer than {lower[0].limit:,} tokens"
    )


def _pressure(arms: Arms) -> Iterator[str]:
    usage = {arm: mean_of(one.run.kv_usage for one in some) for arm, some in arms.items()}
    known = {arm: value for arm, value in usage.items() if value is not None}
    if not known:
        return
    said = ", ".join(f"{percent(value)} {arm}" for arm, value in known.items())
    lost = sum(one.run.preemptions or 0.0 for some in arms.values() for one in some)
    preempted = f"{number(lost)} requests were preempted" if lost else "nobody was preempted"
    yield f"at most so much of the KV cache was used: {said}; {preempted}"


def _lean(arms: Arms) -> Iterator[str]:
    found = against(arms, Arm.LEAN)
    if found is None:
        return
    before, after = (
        mean_of(float(one.memory) for one in arms[arm] if one.memory)
        for arm in (Arm.FULL, Arm.LEAN)
    )
    memory = (
        f"memory {format_size(before)} -> {format_size(after)}"
        if before and after
        else f"{arms[Arm.LEAN][0].kv_tokens or 0:,} KV tokens"
    )
    yield (
        f"with the lower limit a smaller KV cache keeps the old promise: {memory}, throughput"
        f" {changed(found, 'output tokens/s')}"
    )


def _table(arms: Arms) -> Table:
    head = (
        "copy", "limit", "KV tokens", "full length fit", "memory", "tokens/s", "refused",
        "KV used",
    )  # fmt: skip
    return Table(head, tuple(_row(arm, some) for arm, some in arms.items()))


def _row(arm: Arm, some: Sequence[Point]) -> tuple[str, ...]:
    one = some[0]
    memory = mean_of(float(point.memory) for point in some if point.memory)
    return (
        str(arm),
        f"{one.limit:,}",
        "-" if one.kv_tokens is None else f"{one.kv_tokens:,}",
        number(one.promise),
        format_size(memory) if memory else "-",
        number(mean_of(_rates(some))),
        percent(_refused(some)),
        percent(mean_of(point.run.kv_usage for point in some)),
    )


def _plot(arms: Arms) -> Plot:
    rates = [_rates(some) for some in arms.values()]
    return Plot(
        heading="Throughput with each limit",
        reading="The same requests each time. Whiskers are the range of the repeats.",
        x="",
        y="output tokens/s",
        kind="bars",
        series=(
            Series(
                "measured",
                tuple(f"{arm}\n{some[0].limit:,}" for arm, some in arms.items()),
                tuple(mean_of(some) for some in rates),
                tuple(map(whisker, rates)),
            ),
        ),
    )


def _figures(arms: Arms) -> dict[str, Figure]:
    made: dict[str, Figure] = {}
    for arm, some in arms.items():
        made[f"limit, {arm}"] = Figure(value=some[0].limit, unit="tokens")
        if some[0].promise is not None:
            made[f"requests of full length, {arm}"] = Figure(value=some[0].promise, unit="requests")
        made[f"refused, {arm}"] = Figure(value=_refused(some), unit="share", n=len(some))
    return made


def _supports(arms: Arms) -> Iterator[Support]:
    """Yield the limit that is justified: the file's unless a lower one is surely better."""
    found = against(arms, Arm.LOWER)
    if found is None:
        return
    full, lower = arms[Arm.FULL][0].limit, arms[Arm.LOWER][0].limit
    refused = max(_refused(arms[Arm.LOWER]), arms[Arm.LOWER][0].beyond)
    if found.certain and found.change > 0 and not refused:
        says = f"{changed(found, 'output tokens/s')} against {full:,}"
        yield Support(setting="max_model_len", value=lower, variant=label(Arm.LOWER), says=says)
    elif refused:
        says = f"{lower:,} refuses {percent(refused)}"
        yield Support(setting="max_model_len", value=full, variant=AS_IT_IS.label, says=says)
    elif not found.certain and not found.once:
        says = f"with {lower:,} throughput is the same"
        yield Support(setting="max_model_len", value=full, variant=AS_IT_IS.label, says=says)
