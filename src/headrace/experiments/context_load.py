"""Measures `context`: copies with the file's limit, a lower one, and a leaner KV cache, in turns.

The requests are as long as the routes' traffic says, unless knobs say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from headrace.bench.load import Load
from headrace.bench.workload_order import Length, Shape, WorkloadOrder
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.context import Arm, Point, label
from headrace.experiments.copies import Copy
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.experiments.settings import Count
from headrace.experiments.turns import in_turns
from headrace.fleet.load import FleetFile
from headrace.planning.errors import PlanError

_SHORTEST = 256
"""Tokens: a limit below is of no use to anybody."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`lower` is the lower limit (None: the least power of two that 99 % of the traffic fit in).

    Tokens of prompts and answers; None: as the routes' traffic.
    """

    lower: Count | None = None
    requests: Count = 32
    clients: Count = 16
    prompt_p50: Count | None = None
    prompt_p99: Count | None = None
    output_p50: Count | None = None
    output_p99: Count | None = None
    repeats: Count = 2
    seed: int = 1


@dataclass(frozen=True)
class Traffic:
    """Lengths of the requests to come, and the totals (tokens) of those that come already."""

    prompt: Length
    output: Length
    totals: tuple[int, ...]
    assumed: str = ""

    @property
    def usual(self) -> int:
        """The 99th percentile of the totals."""
        return sorted(self.totals)[int(0.99 * (len(self.totals) - 1))]

    def beyond(self, limit: int) -> float:
        """Return the share that is longer than a limit."""
        return sum(total > limit for total in self.totals) / len(self.totals)


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Measure each arm `repeats` times with the same requests."""
    if lab.file is None:
        raise ExperimentError("context starts copies with another limit, so it needs a fleet file")
    traffic = traffic_of(lab.file, lab.case.deployment, settings)
    full = lab.case.max_model_len or traffic.usual
    lower = settings.lower or lower_limit(full, traffic.usual)
    if lower >= full:
        raise ExperimentError(f"--set lower={lower}: the limit is {full}; give a lower one")
    changes = dict(arms(lab.file, lab.case.deployment, full, lower))

    async def body(copy: Copy, change: Change, repeat: int) -> None:
        arm = next(one for one, its in changes.items() if its == change)
        limit = full if arm is Arm.FULL else lower
        points.append(await _point(lab, copy, settings, (arm, repeat, limit), traffic))

    await in_turns(lab, list(changes.values()), settings.repeats, body)


def lower_limit(full: int, usual: int) -> int:
    """Return the least power of two that `usual` fits in, if it is lower; else half of `full`."""
    fitting = max(_SHORTEST, 1 << (usual - 1).bit_length())
    return fitting if fitting < full else full // 2


def arms(file: FleetFile, name: str, full: int, lower: int) -> list[tuple[Arm, Change]]:
    """Return the copies; the lean one only where the file fixes the KV cache."""
    deployment = file.fleet.deployments[name]
    hardware = file.fleet.hardware[deployment.hardware]
    limit = {"max_model_len": lower}
    made = [(Arm.FULL, AS_IT_IS), (Arm.LOWER, Change(label(Arm.LOWER), limit))]
    if hardware.kind == "emulated":
        less = {"kv_tokens": hardware.kv_tokens * lower // full}
        made.append((Arm.LEAN, Change(label(Arm.LEAN), limit, less)))
    elif deployment.kv_cache:
        fields = {**limit, "kv_cache": f"{deployment.kv_cache * lower // full}B"}
        made.append((Arm.LEAN, Change(label(Arm.LEAN), fields)))
    return made


def traffic_of(file: FleetFile, name: str, settings: Settings) -> Traffic:
    """Return the lengths of the routes' traffic, those that knobs set replaced."""
    from headrace.planning.loads import loads_of, together  # noqa: PLC0415 - not all need numpy

    try:
        loads = loads_of(file, name)
        traffic = together(loads)
    except PlanError as error:
        raise ExperimentError(str(error)) from error

    def length(values: list[int], p50: int | None, p99: int | None) -> Length:
        ordered = sorted(values)
        usual, most = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
        low = p50 or usual
        return Length(low, max(low, p99 or most))

    prompt = length(traffic.prompts.tolist(), settings.prompt_p50, settings.prompt_p99)
    output = length(traffic.outputs.tolist(), settings.output_p50, settings.output_p99)
    assumed = "; ".join(dict.fromkeys(one.assumed for one in loads if one.assumed))
    return Traffic(prompt, output, tuple(traffic.totals.tolist()), assumed)


async def _point(
    lab: Lab, copy: Copy, settings: Settings, turn: tuple[Arm, int, int], traffic: Traffic
) -> Point:
    arm, repeat, limit = turn
    shape = Shape("traffic", traffic.prompt, traffic.output)
    order = WorkloadOrder(shapes=(shape,), count=settings.requests, seed=settings.seed + repeat)
    asks = await lab.asks(copy.endpoint, order)
    if repeat == 0:
        await lab.warm(copy.endpoint, asks[:4])
    load = Load(concurrency=settings.clients, exact_length=True)
    name = f"{arm}-{repeat + 1}".replace(",", "").replace(" ", "-")
    _, run = await lab.run(copy.endpoint, asks, load, name)
    return Point(
        arm=arm,
        repeat=repeat,
        limit=limit,
        run=run,
        kv_tokens=copy.kv_tokens,
        promise=copy.concurrency,
        memory=copy.memory(),
        beyond=traffic.beyond(limit),
        assumed=traffic.assumed,
    )
