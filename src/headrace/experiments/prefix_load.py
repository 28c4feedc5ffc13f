"""Measures prompts that share something and prompts that do not, with the prefix cache on and off.

Each repeat has prompts of its own, so that none finds the cache that an earlier one filled.
"""

from __future__ import annotations

import msgspec

from headrace.bench.load import Load
from headrace.bench.target import Target
from headrace.bench.workload_order import HotPrefix, Length, Sessions, Shape, WorkloadOrder
from headrace.engines.vllm_flags import canonical
from headrace.experiments.change import Change
from headrace.experiments.copies import Copy
from headrace.experiments.lab import Lab
from headrace.experiments.prefix import FLAG, Kind, Point, label
from headrace.experiments.settings import Count
from headrace.experiments.turns import in_turns
from headrace.fleet.load import FleetFile


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens: `shared` ones in front, `own` ones of each prompt or turn, `output` of answers."""

    shared: Count = 512
    own: Count = 64
    output: Count = 16
    requests: Count = 16
    turns: Count = 4
    clients: Count = 4
    repeats: Count = 2
    seed: int = 1


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Measure on copies with the cache on and off; without a fleet file, on what is there."""

    async def body(copy: Copy, change: Change, repeat: int) -> None:
        cache = change.label == label(True)
        await _kinds(lab, copy.endpoint, settings, points, (cache, repeat))

    if lab.standing is None:
        await in_turns(lab, changes(lab.file, lab.case.deployment), settings.repeats, body)
        return
    async with lab.endpoint() as where:
        for repeat in range(settings.repeats):
            await _kinds(lab, where, settings, points, (None, repeat))


def changes(file: FleetFile | None, deployment: str) -> list[Change]:
    """Return the copies: the cache on, and off.

    It is on unless the file says otherwise (vLLM, docs of `--enable-prefix-caching`), and then that
    copy is as the file has it: what is measured on it holds for the file.
    """
    given = file.fleet.deployments[deployment].engine.flags if file is not None else {}
    said = {canonical(flag) for flag in given} & {FLAG.rpartition(".")[2]}
    return [Change(label(True), {FLAG: True} if said else {}), Change(label(False), {FLAG: False})]


async def _kinds(
    lab: Lab,
    where: Target,
    settings: Settings,
    points: list[Point],
    turn: tuple[bool | None, int],
) -> None:
    """Measure each kind once, in the opposite order in odd repeats."""
    cache, repeat = turn
    await lab.warm(where, await lab.asks(where, order(settings, Kind.CONTROL, repeat, warm=True)))
    shared = await lab.asks(where, order(settings, Kind.SHARED, repeat))
    whole = max(one.prompt_tokens or 0 for one in shared)
    for kind in tuple(Kind) if repeat % 2 == 0 else tuple(Kind)[::-1]:
        asks = await lab.asks(where, order(settings, kind, repeat, whole=whole))
        load = Load(concurrency=settings.clients, exact_length=True)
        name = f"{kind}-{label(cache)}-{repeat + 1}".replace(" ", "-")
        _, run = await lab.run(where, asks, load, name)
        points.append(Point(kind=kind, cache=cache, repeat=repeat, shared=settings.shared, run=run))


def order(
    settings: Settings, kind: Kind, repeat: int, *, whole: Count = 0, warm: bool = False
) -> WorkloadOrder:
    """Return the requests of one kind; prompts of the control have `whole` tokens."""
    prompt = settings.own if kind is not Kind.CONTROL else whole or settings.shared + settings.own
    shape = Shape(str(kind), Length(prompt, prompt), Length(settings.output, settings.output))
    return WorkloadOrder(
        shapes=(shape,),
        count=settings.clients if warm else settings.requests,
        seed=1_000_003 * settings.seed + 10 * repeat + 5 * warm + list(Kind).index(kind),
        prefix=HotPrefix(settings.shared) if kind is Kind.SHARED else None,
        sessions=Sessions(settings.turns) if kind is Kind.TALK else None,
    )
