"""Looks at the fleet while the drill runs: replicas that come and go, and memory."""

from __future__ import annotations

import asyncio

import msgspec
import psutil

from headrace.drill.timeline import Timeline
from headrace.local import client
from headrace.local.errors import LocalError
from headrace.local.state import StateDir
from headrace.view.status import FleetStatus

PERIOD = 0.5
"""Seconds between two looks."""
_MIB = 2**20


class Memory(msgspec.Struct, kw_only=True):
    """Resident memory of one process: `samples` in MiB, `PERIOD` seconds apart."""

    who: str
    pid: int
    samples: list[float] = []

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return PERIOD * (len(self.samples) - 1)

    def quarters(self) -> list[float]:
        """Return five samples, from the first to the last: level ones mean that nothing grows."""
        last = len(self.samples) - 1
        return [self.samples[round(last * quarter / 4)] for quarter in range(5)]


class Watch:
    """Fills the timeline with what is seen; `memory` is per process."""

    def __init__(self, state: StateDir, deployment: str, timeline: Timeline) -> None:
        self._state, self._deployment, self._timeline = state, deployment, timeline
        self._states: dict[str, str] = {}
        self.memory: dict[int, Memory] = {}

    async def run(self) -> None:
        """Look until cancelled; a fleet that cannot answer for a moment is looked at again."""
        while True:
            try:
                self.look(await client.status(self._state))
            except LocalError:
                self._timeline.saw("fleet", "did not answer")
            await asyncio.sleep(PERIOD)

    def look(self, status: FleetStatus) -> None:
        """Take in one status."""
        replicas = next(one for one in status.deployments if one.name == self._deployment).replicas
        now = {replica.id: str(replica.state) for replica in replicas}
        if self._states:
            self._tell(now)
        self._states = now
        self._weigh("supervisor", status.pid)
        if status.gateway_pid is not None:
            self._weigh("gateway", status.gateway_pid)

    def _tell(self, now: dict[str, str]) -> None:
        for name in sorted(self._states.keys() | now.keys()):
            before, after = self._states.get(name), now.get(name, "gone")
            if before != after:
                drains = before == "ready" and after in {"draining", "stopping"}
                self._timeline.saw(name, after, hit=drains)

    def _weigh(self, who: str, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            size = round(process.memory_info().rss / _MIB, 1)
        except psutil.NoSuchProcess:
            return
        self.memory.setdefault(pid, Memory(who=who, pid=pid)).samples.append(size)
