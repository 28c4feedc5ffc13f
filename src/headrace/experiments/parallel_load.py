"""Parallelism: the model shared over ranks against one rank, under the same load.

What cannot run is said in words, and nothing is started for it: the heads have to divide, and some
engines cannot make a pipeline everywhere. A copy that does not start is a finding, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated

import msgspec

from headrace.bench.load import Load
from headrace.bench.workload_order import Length, Shape, WorkloadOrder
from headrace.capacity.layouts import Nodes, refusal
from headrace.capacity.setup import Layout
from headrace.engines.named import engine_named
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.copies import Copy
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.experiments.parallel import Point
from headrace.experiments.settings import Count
from headrace.experiments.turns import grouped, turns
from headrace.fleet.load import FleetFile
from headrace.fleet.problems import FleetError
from headrace.hardware.machine import read_machine
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError
from headrace.planning.subject import Subject, subject

Ranks = Annotated[int, msgspec.Meta(ge=2, le=64)]
"""A degree of parallelism beside one."""
_MOST = 8
"""Ranks that are looked at unless more are asked for."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tensor` and `pipeline` are degrees to try; none of tensor: those up to the first that fits.

    `prompt` and `output` are tokens of each of `requests`, `concurrency` at a time. Each of
    `repeats` visits to a copy measures `runs` times.
    """

    repeats: Count = 2
    runs: Count = 2
    tensor: tuple[Ranks, ...] = ()
    pipeline: tuple[Ranks, ...] = (2,)
    requests: Count = 24
    concurrency: Count = 8
    prompt: Count = 128
    output: Count = 64


@dataclass(frozen=True)
class Candidate:
    """A way to share the model; `refused` says why it would not run, where that is known."""

    layout: Layout
    refused: str = ""

    @property
    def change(self) -> Change:
        """Return the copy's difference."""
        if self.layout.pipeline > 1:
            return Change(f"PP{self.layout.pipeline}", {"pipeline_parallel": self.layout.pipeline})
        return Change(f"TP{self.layout.tensor}", {"tensor_parallel": self.layout.tensor})

    def point(self, refused: str) -> Point:
        """Return that it does not run."""
        return Point(
            label=self.change.label,
            tensor=self.layout.tensor,
            pipeline=self.layout.pipeline,
            refused=refused,
        )


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Say what cannot run, then ask one rank and each layout the same, in turns."""
    found = list(candidates(lab.file, lab.case.deployment, settings)) if lab.file else []
    points += [one.point(one.refused) for one in found if one.refused]
    for point in points:
        lab.tell(f"{point.label} is left out: {point.refused}")
    able = [Candidate(Layout(1, 1)), *(one for one in found if not one.refused)]
    for one, repeats in grouped(list(turns(able, settings.repeats))):
        if any(point.refused for point in points if point.label == one.change.label):
            continue  # it did not start before
        try:
            await _on(lab, one, repeats, settings, points)
        except (ExperimentError, FleetError) as error:
            if one.layout.accelerators == 1:
                raise
            points.append(one.point(_short(error)))


async def _on(
    lab: Lab, one: Candidate, repeats: list[int], settings: Settings, points: list[Point]
) -> None:
    change = AS_IT_IS if one.layout.accelerators == 1 else one.change
    runs = range(settings.runs)
    async with lab.copy(change) as copy:
        numbers = (repeat * settings.runs + again for repeat, again in product(repeats, runs))
        for repeat in numbers:
            point = await _point(lab, copy, change, one.layout, repeat, settings)
            points.append(point)


async def _point(  # noqa: PLR0917 - which run of which copy
    lab: Lab, copy: Copy, change: Change, layout: Layout, repeat: int, settings: Settings
) -> Point:
    asks = await lab.asks(copy.endpoint, order(settings, repeat))
    await lab.warm(copy.endpoint, asks[: settings.concurrency])
    load = Load(concurrency=settings.concurrency, exact_length=True)
    _, figures = await lab.run(
        copy.endpoint, asks, load, f"{change.label}-{repeat}".replace(" ", "-")
    )
    oracle = lab.oracle(asks, copy)
    return Point(
        label=change.label,
        tensor=layout.tensor,
        pipeline=layout.pipeline,
        repeat=repeat,
        figures=figures,
        memory=copy.memory(),
        started=copy.started,
        predicted=oracle.closed_loop(settings.concurrency) if oracle else None,
        cores=_cores(lab),
    )


def _cores(lab: Lab) -> int | None:
    """Return the cores that a copy's ranks share on a CPU."""
    if lab.file is None:
        return None
    hardware = lab.file.fleet.hardware[lab.file.fleet.deployments[lab.case.deployment].hardware]
    if hardware.kind != "cpu":
        return None
    return hardware.cores or len(read_machine().cores)


def order(settings: Settings, repeat: int) -> WorkloadOrder:
    """Return the load of one repeat: texts that no cache has seen."""
    prompt, output = (Length(size, size) for size in (settings.prompt, settings.output))
    shape = Shape("even", prompt, output)
    return WorkloadOrder(shapes=(shape,), count=settings.requests, seed=repeat + 1)


def candidates(file: FleetFile, deployment: str, settings: Settings) -> Iterator[Candidate]:
    """Yield the layouts to try: those asked for, else tensor parallel until one is possible."""
    of = _subject(file, deployment)
    asked = [Layout(ranks) for ranks in settings.tensor or range(2, _MOST + 1)]
    for layout in asked:
        one = Candidate(layout, _refused(file, deployment, of, layout))
        yield one
        if not one.refused and not settings.tensor:
            break
    for layout in (Layout(1, stages) for stages in settings.pipeline):
        yield Candidate(layout, _refused(file, deployment, of, layout))


def _refused(file: FleetFile, deployment: str, of: Subject | None, layout: Layout) -> str:
    """Return why the engine would not run it; empty if nothing speaks against it."""
    typed = file.fleet.deployments[deployment]
    hardware = file.fleet.hardware[typed.hardware]
    asked = typed.model_copy(
        update={"tensor_parallel": layout.tensor, "pipeline_parallel": layout.pipeline}
    )
    engine = engine_named(typed.engine.name, typed.engine.version)
    here = {field for (field, *_), _ in engine.problems(typed, hardware)}
    for (field, *_), words in engine.problems(asked, hardware):
        if field not in here:
            return words
    if of is None:
        return ""
    nodes = Nodes(of.place.accelerator, max(layout.accelerators, of.place.nodes.per_node))
    return refusal(of.architecture, nodes, layout) or ""


def _subject(file: FleetFile, deployment: str) -> Subject | None:
    """Return what is known of the model; None where too little is."""
    try:
        return subject(file, deployment)
    except (PlanError, WeightsError):
        return None


def _short(error: Exception) -> str:
    """Return an error's first and last words, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if len(lines) < 2 else f"{lines[0]} {lines[-1]}"  # noqa: PLR2004 - a line alone
    return said.rstrip(".")[:300]
