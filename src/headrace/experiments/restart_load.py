"""Stops a replica of a copy under long streams: with the fleet's gateway before it, and without.

The first is a drill (`headrace.drill`) on a copy of two replicas, with the drain and grace of the
user's file; the second shows what the bare engine does, on a copy of one.
"""

from __future__ import annotations

import signal
from typing import Annotated

import msgspec
from msgspec.structs import replace

from headrace.drill.kinds import Kind
from headrace.drill.report import Report
from headrace.drill.run import Order, drill
from headrace.drill.scene import LEAST
from headrace.experiments.change import Change
from headrace.experiments.copies import Copy
from headrace.experiments.direct_stop import stop_directly
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.experiments.restart import Point
from headrace.experiments.settings import Count
from headrace.fleet.types import Lifecycle
from headrace.fleet.units import format_duration

SIGNALS = (signal.SIGTERM, signal.SIGKILL)
_DRILL = 240.0
"""Seconds that a drill waits for two ready replicas, and its clients for the next token."""
_LATE = 15.0
"""Seconds after the grace in which a stopped engine must be gone."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ways` are kinds of drill; `streams` answers of `tokens` tokens, `concurrency` at once.

    `bare` is how many streams the engine alone has when it is told to stop; 0 leaves that out.
    """

    ways: tuple[Kind, ...] = ("scale-down", "stop", "kill")
    streams: Count = 8
    concurrency: Count = 4
    tokens: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 128
    bare: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 3


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Stop a replica each way, then an engine alone."""
    lifecycle = _lifecycle(lab)
    own = {
        "lifecycle.drain": format_duration(lifecycle.drain),
        "lifecycle.grace": format_duration(lifecycle.grace),
        "balancing.slow_start": "0ms",  # both replicas are new, and both should have streams
    }
    empty = Point(way="", drain=lifecycle.drain, grace=lifecycle.grace)
    if settings.ways:
        async with lab.copy(Change("two replicas", own, replicas=LEAST)) as copy:
            for way in settings.ways:
                seen = await _drilled(lab, copy, way, settings)
                points.append(replace(empty, way=way, drill=seen))
    for number in SIGNALS if settings.bare else ():
        async with lab.copy(Change("one replica", own)) as copy:
            lab.tell(f"{number.name} to the engine, under {settings.bare} streams")
            patience = lifecycle.grace + _LATE
            stopped = await stop_directly(copy, number, settings.bare, settings.tokens, patience)
            points.append(replace(empty, way=f"{number.name}, no gateway", direct=stopped))


async def _drilled(lab: Lab, copy: Copy, way: Kind, settings: Settings) -> Report:
    lab.tell(f"drill: {way}")
    order = Order(
        kind=way,
        streams=settings.streams,
        concurrency=settings.concurrency,
        tokens=settings.tokens,
        model=copy.endpoint.model,
        patience=_DRILL,
    )
    return await drill(copy.state, order, lab.tell)


def _lifecycle(lab: Lab) -> Lifecycle:
    if lab.file is None:
        raise ExperimentError("this stops replicas, so it needs a fleet file to make copies of")
    return lab.file.fleet.deployments[lab.case.deployment].lifecycle
