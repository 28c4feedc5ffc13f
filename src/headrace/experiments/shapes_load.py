"""Measures `shapes`: each kind by itself in a closed loop, then short ones at a rate beside others.

The rate follows from the first part: with everything in it the engine is busy for `load` of the
time. There are `mix` short requests for each long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.bench.target import Target
from headrace.bench.workload_order import Length, Shape, WorkloadOrder
from headrace.experiments.busy import while_busy
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.experiments.settings import Count
from headrace.experiments.shapes_points import Arm, Costs, Kind, Point, costs_of
from headrace.experiments.turns import turns
from headrace.traffic.arrivals import Poisson

_BESIDE = {
    Arm.ALONE: (),
    Arm.ANSWERS: (Kind.ANSWER,),
    Arm.PROMPTS: (Kind.PROMPT,),
    Arm.BOTH: (Kind.ANSWER, Kind.PROMPT),
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of prompts and answers; `clients` and `each` (requests of a client) of the first part.

    `requests` are the short ones of each run of the second part.
    """

    short_prompt: Count = 64
    short_output: Count = 16
    long_output: Count = 96
    long_prompt: Count = 1024
    moderate_output: Count = 32
    clients: Count = 4
    each: Count = 3
    requests: Count = 30
    load: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.6
    mix: Annotated[float, msgspec.Meta(gt=0)] = 4.0
    repeats: Count = 2
    seed: int = 1


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Measure the kinds, then the arms in turns."""
    async with lab.endpoint() as where:
        await lab.warm(where, await lab.asks(where, _order(settings, Kind.SHORT, 0, count=4)))
        for repeat, kind in turns(tuple(Kind), settings.repeats):
            points.append(await _kind(lab, where, settings, (kind, repeat)))
        costs = costs_of(points)
        if costs is None:
            raise ExperimentError(
                "a kind of requests had no whole answer, so no rate follows for the mix: look at"
                f" {lab.folder}"
            )
        rate = short_rate(costs, settings)
        for repeat, arm in turns(tuple(Arm), settings.repeats):
            points.append(await _arm(lab, where, settings, (arm, repeat, rate)))


def short_rate(costs: Costs, settings: Settings) -> float:
    """Return the short requests a second with which everything together keeps the engine busy."""
    long = costs.requests[Kind.ANSWER] + costs.requests[Kind.PROMPT]
    return settings.load / (costs.requests[Kind.SHORT] + long / settings.mix)


async def _kind(lab: Lab, where: Target, settings: Settings, turn: tuple[Kind, int]) -> Point:
    kind, repeat = turn
    count = settings.clients * settings.each
    asks = await lab.asks(where, _order(settings, kind, 10 + repeat, count=count))
    load = Load(concurrency=settings.clients, exact_length=True)
    name = f"{kind}-{repeat + 1}".replace("/", "-")
    run, found = await lab.run(where, asks, load, name)
    return Point(kind=kind, repeat=repeat, run=while_busy(run, found, settings.clients))


async def _arm(lab: Lab, where: Target, settings: Settings, turn: tuple[Arm, int, float]) -> Point:
    arm, repeat, rate = turn
    part = 100 * (repeat + 1) + 10 * list(Arm).index(arm)
    short = _order(settings, Kind.SHORT, part, count=settings.requests, rate=rate)
    lasts, beside = settings.requests / rate, rate / settings.mix
    count = max(1, round(lasts * beside))
    orders = [
        short,
        *(
            _order(settings, kind, part + 1 + index, count=count, rate=beside)
            for index, kind in enumerate(_BESIDE[arm])
        ),
    ]
    asks = merged([await lab.asks(where, order) for order in orders])
    name = f"short-{arm}-{repeat + 1}".replace(" ", "-")
    run, found = await lab.run(where, asks, Load(exact_length=True), name)
    good = [one for one in run.counted if one.shape == Kind.SHORT and one.failure is None]
    return Point(
        arm=arm,
        repeat=repeat,
        run=found,
        rate=rate,
        ttft=tuple(one.ttft_due for one in good if one.ttft_due is not None),
        tpot=tuple(one.tpot for one in good if one.tpot is not None),
    )


def merged(some: Sequence[Sequence[Ask]]) -> list[Ask]:
    """Return several loads as one, in the order of their times."""
    together = sorted((one for asks in some for one in asks), key=lambda one: one.at or 0.0)
    return [msgspec.structs.replace(one, number=number) for number, one in enumerate(together)]


def _order(
    settings: Settings, kind: Kind, part: int, *, count: int, rate: float | None = None
) -> WorkloadOrder:
    """Return requests of one kind; `part` keeps their prompts apart from those of others."""
    prompt, output = {
        Kind.SHORT: (settings.short_prompt, settings.short_output),
        Kind.ANSWER: (settings.short_prompt, settings.long_output),
        Kind.PROMPT: (settings.long_prompt, settings.moderate_output),
    }[kind]
    return WorkloadOrder(
        shapes=(Shape(str(kind), Length(prompt, prompt), Length(output, output)),),
        arrivals=None if rate is None else Poisson(rate),
        count=count,
        seed=1_000_003 * settings.seed + 1000 * list(Kind).index(kind) + part,
    )
