"""What batching is worth: one request at a time, static batches, continuous batching.

Same prompts, same cores. `batching_load.py` measures; here is what follows, from figures alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from headrace.capacity.cost import Cost, cost
from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion, Plot, Series
from headrace.experiments.measured import Measured, figures, mean_of
from headrace.experiments.predicted import Predicted
from headrace.experiments.repeats import Contrast, contrast, whisker
from headrace.experiments.words import changed, number, seconds
from headrace.pages.html import Table


class Way(StrEnum):
    """How requests share the engine."""

    ALONE = "one at a time"
    STATIC = "static batches"
    CONTINUOUS = "continuous"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One way of sending, measured once; `predicted` by the plan's arithmetic.

    `busy` is how many of the `size` places had a request that was being answered, in the mean.
    """

    way: Way
    repeat: int
    size: int
    run: Measured
    busy: float
    predicted: Predicted | None = None


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say how many requests the same cores serve in each way, and what they cost."""
    ways = {way: [one for one in points if one.way is way] for way in Way}
    ways = {way: some for way, some in ways.items() if some}
    return Conclusion(
        words=tuple(_words(ways, case)),
        tables=(_table(ways, case),),
        plots=_plots(ways),
        figures=_gains(ways),
        variants={AS_IT_IS.label: figures([one.run for one in ways.get(Way.CONTINUOUS, ())])},
        doubts=tuple(doubts_of((f"{one.way} ({one.repeat + 1})", one.run) for one in points)),
        supports=_supports(ways, case),
        next="headrace experiment baseline finds the concurrency from which more clients only wait",
    )


def rate(some: Sequence[Point]) -> float:
    """Return the mean requests a second."""
    return mean_of(one.run.requests for one in some) or 0.0


def compared(before: Sequence[Point], after: Sequence[Point]) -> Contrast:
    """Return how the requests a second of two ways differ."""
    return contrast([one.run.requests for one in before], [one.run.requests for one in after])


def price(some: Sequence[Point], hourly: float | None) -> Cost | None:
    """Return what requests cost at the rate of a way; None where nobody said what an hour costs."""
    served = rate(some)
    if not hourly or served <= 0:
        return None
    prompt = mean_of(one.run.prompt_mean for one in some) or 0.0
    return cost(hourly, served, prompt, mean_of(one.run.output_mean for one in some) or 0.0)


def _words(ways: Mapping[Way, Sequence[Point]], case: Case) -> list[str]:
    if Way.CONTINUOUS not in ways or len(ways) == 1:
        measured = " and ".join(ways)
        return [f"only {measured} came to an end, so continuous batching cannot be compared"]
    said = [_answer(ways)]
    if Way.STATIC in ways:
        said.append(_against_static(ways[Way.STATIC], ways[Way.CONTINUOUS]))
    said.append(_money(ways, case))
    return said


def _answer(ways: Mapping[Way, Sequence[Point]]) -> str:
    full, size = ways[Way.CONTINUOUS], ways[Way.CONTINUOUS][0].size
    other = Way.ALONE if Way.ALONE in ways else Way.STATIC
    found = compared(ways[other], full)
    if not found.certain and not found.once:
        return (
            f"no difference larger than the noise: continuous batching of {size} clients served"
            f" {changed(found, 'requests/s')} against {other}"
        )
    return (
        f"continuous batching of {size} clients serves {_times(found)} the requests of {other}:"
        f" {changed(found, 'requests/s')}, {number(_tokens(full))} output tokens/s"
    )


def _against_static(static: Sequence[Point], full: Sequence[Point]) -> str:
    found, size = compared(static, full), full[0].size
    if not found.certain:
        return f"against static batches of {size}: {changed(found, 'requests/s')}"
    said = f"static batches of {size} serve {number(found.before)} requests/s: "
    if found.change < 0:
        return said + f"more than continuous batching ({number(found.after)}); look at the doubts"
    waits = mean_of(one.busy for one in static)
    return said + (
        f"continuous batching serves {_times(found)} that, because a batch waits for its longest"
        f" answer ({number(waits)} of {size} places were busy in the mean); its places are filled"
        " again as each answer ends"
    )


def _money(ways: Mapping[Way, Sequence[Point]], case: Case) -> str:
    costs = {way: price(some, case.hourly) for way, some in ways.items()}
    known = {way: one for way, one in costs.items() if one is not None}
    if known:
        each = ", ".join(f"{way} {number(one.thousand_requests)}" for way, one in known.items())
        return f"1,000 such requests cost, at {case.hourly:g} an hour: {each}"
    each = ", ".join(
        f"{way} {seconds(1000 / rate(some))}" for way, some in ways.items() if rate(some)
    )
    return f"1,000 such requests take of the machine: {each} (hourly_price of the hardware is open)"


def _times(found: Contrast) -> str:
    return f"{found.after / found.before:.1f} times" if found.before else "more than"


def _tokens(some: Sequence[Point]) -> float | None:
    return mean_of(one.run.output_tokens for one in some)


def _table(ways: Mapping[Way, Sequence[Point]], case: Case) -> Table:
    head = ("way", "requests/s", "tokens/s", "TTFT p50", "TPOT p50", "answer p50", "predicted")
    paid = bool(case.hourly)
    rows = tuple(_row(way, some, case if paid else None) for way, some in ways.items())
    return Table((*head, *(("cost of 1,000",) if paid else ())), rows, caption=_caption(ways))


def _caption(ways: Mapping[Way, Sequence[Point]]) -> str:
    run = next(iter(ways.values()))[0].run
    return (
        f"{run.asked} requests of {number(run.prompt_mean)} + {number(run.output_mean)} tokens in"
        " the mean; predicted: requests/s by the plan's arithmetic"
    )


def _row(way: Way, some: Sequence[Point], case: Case | None) -> tuple[str, ...]:
    runs = [one.run for one in some]
    guess = mean_of(one.predicted.requests for one in some if one.predicted)
    cells = (
        str(way),
        number(rate(some)),
        number(_tokens(some)),
        seconds(mean_of(run.ttft_p50 for run in runs)),
        "-" if way is Way.STATIC else seconds(mean_of(run.tpot_p50 for run in runs)),
        seconds(mean_of(run.e2e_p50 for run in runs)),
        number(guess),
    )
    paid = price(some, case.hourly) if case else None
    return (*cells, number(paid.thousand_requests)) if paid else cells


def _plots(ways: Mapping[Way, Sequence[Point]]) -> tuple[Plot, ...]:
    names = tuple(str(way) for way in ways)
    served = [[one.run.requests for one in some] for some in ways.values()]
    measured = Series(
        "measured",
        names,
        tuple(sum(some) / len(some) for some in served),
        tuple(map(whisker, served)),
    )
    guesses = tuple(
        mean_of(one.predicted.requests for one in some if one.predicted) for some in ways.values()
    )
    predicted = (Series("predicted by the plan", names, guesses),) if any(guesses) else ()
    return (
        Plot(
            heading="Requests a second on the same cores",
            reading="Higher is better. Whiskers are the range of the repeats.",
            x="",
            y="requests/s",
            kind="bars",
            series=(measured, *predicted),
        ),
    )


def _gains(ways: Mapping[Way, Sequence[Point]]) -> dict[str, Figure]:
    full = ways.get(Way.CONTINUOUS)
    if not full:
        return {}
    others = {way: some for way, some in ways.items() if way is not Way.CONTINUOUS and rate(some)}
    made = {
        f"requests, {way}": figures([one.run for one in some])["requests"]
        for way, some in others.items()
    }
    made |= {
        f"requests of continuous over {way}": Figure(value=rate(full) / rate(some), n=len(some))
        for way, some in others.items()
    }
    return made


def _supports(ways: Mapping[Way, Sequence[Point]], case: Case) -> tuple[Support, ...]:
    """Return the setting that lets requests share steps, if it was what served more."""
    full, lone = ways.get(Way.CONTINUOUS), ways.get(Way.ALONE)
    if not full or not lone or case.max_num_seqs is None or case.max_num_seqs < full[0].size:
        return ()
    found = compared(lone, full)
    if not found.certain or found.change <= 0:
        return ()
    says = f"{full[0].size} at once serve {_times(found)} the requests/s of one at a time"
    return (Support(setting="max_num_seqs", value=case.max_num_seqs, says=says),)
