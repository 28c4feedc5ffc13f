"""Which requests are expensive, and whether short ones suffer beside them.

First each kind by itself, as fast as it goes: what a request of it takes of the engine. Then short
requests at one rate, alone and beside long answers, long prompts, and both: who makes them wait.
`shapes_load.py` measures; here is what follows, from figures alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.evidence.difference import Difference
from headrace.evidence.result import Figure
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion
from headrace.experiments.measured import figures
from headrace.experiments.shapes_points import Arm, Costs, Kind, Point, against_alone, costs_of
from headrace.experiments.shapes_shown import plots, tables
from headrace.experiments.words import number, percent, seconds

SUFFERS = 0.25
"""By so much more, as a share of what they have alone, short requests suffer (if it is certain)."""
_LATENCIES = (("ttft", "TTFT p95"), ("tpot", "TPOT p95"))


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say which path is expensive, who makes short requests wait, and what to do about it."""
    costs = costs_of(points)
    found: Found = {arm: _found(points, arm) for arm in Arm if arm is not Arm.ALONE}
    return Conclusion(
        words=(_answer(found), *_costs(costs), *_felt(found), *_advice(found, case)),
        tables=tables(points, costs),
        plots=plots(points, costs),
        figures=_figures(costs, found),
        variants={AS_IT_IS.label: _kinds(points)},
        doubts=tuple(doubts_of((_name(one), one.run) for one in points)),
        next=(
            "headrace experiment context: whether max_model_len fits these requests; headrace route"
            " shows which route a request would take"
        ),
    )


Found = dict[Arm, dict[str, Difference]]


def _found(points: Sequence[Point], arm: Arm) -> dict[str, Difference]:
    pairs = ((name, against_alone(points, arm, field)) for field, name in _LATENCIES)
    return {name: one for name, one in pairs if one is not None}


def suffers(found: dict[str, Difference]) -> bool:
    """Whether short requests surely have it worse than alone, by a share that matters."""
    return any(one.real and (one.change or 0.0) >= SUFFERS for one in found.values())


def _answer(found: Found) -> str:
    known = {arm: some for arm, some in found.items() if some}
    if not known:
        return "short requests were not measured beside others, so nothing is said of the mix"
    bad = [arm for arm, some in known.items() if suffers(some)]
    if not bad:
        most = max(known.values(), key=_worst)
        name, one = max(most.items(), key=lambda item: item[1].change or 0.0)
        return (
            "short requests do not surely suffer beside longer ones at this load, by"
            f" {percent(SUFFERS)} or more; the largest change is in {name}: {one.words()}"
        )
    worst = max(bad, key=lambda arm: _worst(known[arm]))
    name, one = max(known[worst].items(), key=lambda item: item[1].change or 0.0)
    return f"short requests suffer {' and '.join(bad)}; most {worst}: {name} {one.words()}"


def _worst(found: dict[str, Difference]) -> float:
    return max((one.change or 0.0 for one in found.values()), default=0.0)


def _costs(costs: Costs | None) -> Iterator[str]:
    if costs is None:
        return
    short = costs.requests[Kind.SHORT]
    times = {kind: cost / short for kind, cost in costs.requests.items() if kind is not Kind.SHORT}
    most = max(times, key=lambda kind: times[kind])
    each = ", ".join(f"{kind} as much as {number(factor)}" for kind, factor in times.items())
    yield (
        f"{most} is the expensive kind: a {Kind.SHORT} request takes {seconds(short)} of the"
        f" engine, {each} of them"
    )
    if costs.prompt_token > 0:
        many = number(costs.answer_token / costs.prompt_token)
        yield (
            f"one token of an answer takes as much as {many} of a prompt; of a {Kind.PROMPT}"
            f" request its prompt is {percent(costs.prefill_share)}"
        )


def _felt(found: Found) -> Iterator[str]:
    for arm, some in found.items():
        if some:
            said = "; ".join(f"{name} {one.words()}" for name, one in some.items())
            yield f"short ones {arm}: {said}"


def _advice(found: Found, case: Case) -> Iterator[str]:
    bad = {arm for arm, some in found.items() if suffers(some)}
    if {Arm.ANSWERS, Arm.PROMPTS} <= bad:
        yield (
            "both hurt: give short interactive requests a route and a deployment of their own, and"
            " heavier background work another"
        )
    elif Arm.PROMPTS in bad:
        yield (
            "prompts hold the others up before they speak: try a smaller max_num_batched_tokens"
            " (chunked prefill), or a route of its own for long prompts (match: prompt_tokens)"
        )
    elif Arm.ANSWERS in bad:
        yield (
            "decoding is the expensive path: bound max_tokens by a limit of the route, lower"
            " max_num_seqs, or give long answers a deployment of their own"
        )
    elif Arm.BOTH in bad:
        yield "only together they hurt: the replica is simply full; add one, or lower max_num_seqs"
    elif any(found.values()):
        yield f"one route for all of them will do for {case.deployment} at this load"


def _figures(costs: Costs | None, found: Found) -> dict[str, Figure]:
    made: dict[str, Figure] = {}
    if costs is not None:
        for kind, cost in costs.requests.items():
            made[f"engine seconds, {kind}"] = Figure(value=cost, unit="s")
    for arm, some in found.items():
        for name, one in some.items():
            if one.change is not None:
                made[f"{name} change, {arm}"] = Figure(
                    value=one.change, unit="share", low=one.low, high=one.high
                )
    return made


def _kinds(points: Sequence[Point]) -> dict[str, Figure]:
    return {
        f"{name}, {kind}": figure
        for kind in Kind
        for name, figure in figures([one.run for one in points if one.kind is kind]).items()
        if name in {"requests", "output tokens", "ttft p50", "tpot p50"}
    }


def _name(one: Point) -> str:
    return f"{one.kind or f'short {one.arm}'} ({one.repeat + 1})"
