"""Where a drill does its harm: the fleet, its replicas as they are now, and the streams in flight.

`harm.py` has what is done there.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic

import psutil

from headrace.drill import processes
from headrace.drill.load import Load
from headrace.drill.timeline import Timeline
from headrace.local import client
from headrace.local.errors import LocalError
from headrace.local.state import StateDir
from headrace.view.states import State
from headrace.view.status import FleetStatus, ReplicaStatus

LEAST = 2
"""Ready replicas that a drill needs: one to harm, one to go on."""
_MIDWAY = 0.25
_TOLD = 0.05
"""Share of its answer after which a stream's break is a continuation and not a mere retry."""
_LOOK = 0.02
_PATIENCE = 180.0
"""Seconds to wait for streams to be well under way."""


@dataclass(frozen=True)
class Chosen:
    """A replica to harm, and its engine's process."""

    replica: ReplicaStatus
    process: psutil.Process


@dataclass
class Scene:
    """What the kinds of harm share; `afterwards` undoes what outlasts them, whatever happens.

    `replicas` is the count that is pinned, `every` the seconds between two kills of `mixed`;
    `rolling_since` is when the rollout under way began.
    """

    state: StateDir
    deployment: str
    replicas: int
    twin: bool
    every: float
    load: Load
    timeline: Timeline
    afterwards: AsyncExitStack
    rolling_since: float | None = None

    @property
    def spared(self) -> float:
        """Age in seconds below which a replica is not killed by `mixed`."""
        rolling = 0.0 if self.rolling_since is None else monotonic() - self.rolling_since
        return max(self.every, rolling)

    async def status(self) -> tuple[FleetStatus, tuple[ReplicaStatus, ...]]:
        """Return the fleet's status, and the deployment's ready replicas."""
        status = await client.status(self.state)
        found = next(one for one in status.deployments if one.name == self.deployment)
        ready = tuple(one for one in found.replicas if one.state == State.READY and one.pid)
        return status, ready

    async def midway(self) -> None:
        """Return when the streams in flight are well under way; LocalError if they never are."""
        deadline = monotonic() + _PATIENCE
        while self.load.share() < _MIDWAY:
            if monotonic() > deadline:
                raise LocalError(f"no stream got under way within {_PATIENCE:.0f} s")
            await asyncio.sleep(_LOOK)

    async def busiest(self, *, older: float = 0.0) -> Chosen:
        """Return the ready replica with most streams that have begun to speak, then in flight.

        Only of those older than `older` seconds; LocalError if it would be the last one ready.
        """
        status, ready = await self.status()
        if len(ready) < LEAST:
            raise LocalError(f"only {len(ready)} replicas of {self.deployment} are ready now")
        old = [one for one in ready if one.age >= older]
        if not old:
            raise LocalError("all ready replicas are new")
        speaking = self.load.well_under_way(_TOLD)
        replica = max(old, key=lambda one: (speaking[one.id], one.in_flight))
        assert replica.pid is not None  # noqa: S101 - `status` returns only those with one
        return Chosen(replica, processes.engine(replica.pid, status.pid))

    def signal(self, chosen: Chosen, number: signal.Signals) -> None:
        """Send a signal to a replica's engine, and note it."""
        sent = processes.send(chosen.process, number)
        load = f"{chosen.replica.in_flight} in flight" if sent else "gone already"
        self.hit(chosen, f"{number.name} to process {chosen.process.pid}, {load}")

    def hit(self, chosen: Chosen, what: str) -> None:
        """Note harm that was done to a replica."""
        self.timeline.did(chosen.replica.id, what, hit=chosen.replica.id)
