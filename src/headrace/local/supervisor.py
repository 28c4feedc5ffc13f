"""A fleet on one machine, from `headrace up` to its end: owns the gateway, all replicas, the clock.

It connects the parts and decides nothing: demand goes from `gateway_link.py` to `autoscale.py`,
counts from there to `replicaset.py`, replicas from there back to the gateway. Ending is in order:
the gateway finishes what runs, then the engines stop, then the folder is tidied.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from functools import partial

import httpx

from headrace.fleet.load import FleetFile
from headrace.gateway import control as gateway
from headrace.local import control
from headrace.local.autoscale import Autoscaler
from headrace.local.blueprint import Blueprint
from headrace.local.closing import end, signals
from headrace.local.display import Display
from headrace.local.events import Event, Journal, event
from headrace.local.gateway_config import configuration
from headrace.local.gateway_link import COMMAND, GatewayLink
from headrace.local.replica import Pace, Site
from headrace.local.replicaset import ReplicaSet
from headrace.local.reserve import Reserved
from headrace.local.status import FleetStatus
from headrace.local.stopping import Patience, Urgency
from headrace.local.waiting import cancel, first
from headrace.scaling.decide import Decision

_TICK = 1.0
FAILED = 1
"""Exit status when no deployment could ever serve."""


class Supervisor:
    """One fleet that is up; `run` serves until `hurry` was called."""

    def __init__(
        self,
        file: FleetFile,
        blueprints: Sequence[Blueprint],
        reserved: Reserved,
        display: Display,
        *,
        pace: Pace | None = None,
        gateway_command: Sequence[str] = COMMAND,
    ) -> None:
        self._file, self._blueprints, self._reserved = file, blueprints, reserved
        self._display, self._pace = display, pace or Pace()
        self._state = reserved.state
        self._events = Journal(self._state.events)
        self._decisions = Journal(self._state.decisions)
        self._patience = Patience()
        self._since = time.time()
        self._sets: dict[str, ReplicaSet] = {}
        self._scalers: dict[str, Autoscaler] = {}
        self._serving = asyncio.Event()
        self._link = self._make_link(gateway_command)
        self._failed = False

    def hurry(self, urgency: Urgency | None = None) -> None:
        """End the fleet; each call without an urgency is less patient than the one before."""
        if urgency is None:
            urgency = Urgency(min(self._patience.urgency + 1, Urgency.KILL))
        if urgency > self._patience.urgency:
            self._emit(event("stopping", self._file.fleet.fleet, _FAREWELL[urgency]))
        self._patience.lose(urgency)

    async def run(self) -> int:
        """Serve until the end and leave nothing behind; return the exit status.

        GatewayError if the gateway does not stay up.
        """
        limits = httpx.Limits(max_keepalive_connections=0)  # engines close idle connections
        async with httpx.AsyncClient(trust_env=False, limits=limits) as client:
            with signals(self.hurry):
                server = await control.listen(self._state.socket, self._respond)
                try:
                    await self._serve(client)
                finally:
                    server.close()
                    self._state.socket.unlink(missing_ok=True)
        return FAILED if self._failed else 0

    async def _serve(self, client: httpx.AsyncClient) -> None:
        site = Site(self._state.path, self._state.logs, client, self._emit, self._pace)
        try:
            async with asyncio.TaskGroup() as tasks:
                linking = tasks.create_task(self._link.run())
                others = [
                    tasks.create_task(self._tick()),
                    tasks.create_task(self._display.run(self.status)),
                ]
                others += [
                    tasks.create_task(self._deploy(blueprint, site, tasks))
                    for blueprint in self._blueprints
                ]
                await self._patience.lost(Urgency.DRAIN)
                await cancel(*others)
                await end(self._link, linking, list(self._sets.values()), self._patience)
        except BaseExceptionGroup as group:
            raise _first(group) from None  # one failure ends all of it; the first says why

    async def _deploy(self, blueprint: Blueprint, site: Site, tasks: asyncio.TaskGroup) -> None:
        name, scaling = blueprint.name, blueprint.deployment.scaling
        replicas = ReplicaSet(blueprint, site, tasks, partial(self._changed, name))
        self._sets[name] = replicas
        scaler = Autoscaler(name, scaling, partial(self._scaled, name), self._decisions)
        self._scalers[name] = scaler
        replicas.scale(scaler.desired)
        await scaler.run()

    # What flows between the parts.

    def _make_link(self, command: Sequence[str]) -> GatewayLink:
        return GatewayLink(
            self._reserved.listening,
            configuration(self._file, self._blueprints, str(self._state.requests)),
            self._state.logs / "gateway.log",
            self._hear,
            emit=self._emit,
            command=command,
        )

    def _hear(self, message: gateway.FromGateway | None) -> None:
        match message:
            case gateway.Demand():
                self._demand(message)
            case gateway.Fault():
                if message.deployment in self._sets:
                    self._sets[message.deployment].suspect(message.replica, message.what)
            case gateway.Listening():
                self._emit(event("gateway", "gateway", f"listens on {self._reserved.address}"))
            case None:
                for name, replicas in self._sets.items():
                    replicas.demand = None
                    self._scalers[name].hear(None, replicas.ready)

    def _demand(self, demand: gateway.Demand) -> None:
        replicas = self._sets.get(demand.deployment)
        if replicas:
            replicas.hear(demand)
            self._scalers[demand.deployment].hear(demand, replicas.ready)

    def _scaled(self, name: str, decision: Decision) -> None:
        text = f"{decision.before} -> {decision.desired} replicas: {decision.reason}"
        self._emit(event("scaled", name, text))
        self._sets[name].scale(decision.desired)

    def _changed(self, name: str, message: gateway.Replicas) -> None:
        self._link.tell(message)
        replicas, scaler = self._sets.get(name), self._scalers.get(name)
        if replicas and scaler:
            scaler.hear(replicas.demand, replicas.ready)
        self._look()

    def _look(self) -> None:
        """Say once that the fleet serves, and end if it never can."""
        if self._patience.urgency or len(self._scalers) < len(self._blueprints):
            return
        if not self._serving.is_set() and self.status().settled:
            self._serving.set()
            self._emit(event("serving", self._file.fleet.fleet, "serves"))
            self._display.serving(self.status())
        sets = self._sets.values()
        if all(one.restarts.given_up and not one.ever_ready for one in sets):
            self._failed = True
            self.hurry(Urgency.DRAIN)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for replicas in self._sets.values():
                replicas.calm()
            self._look()

    def _emit(self, happened: Event) -> None:
        self._events.write(happened)
        self._display.show(happened)

    # Answers to `headrace status`, `scale` and `down`.

    async def _respond(self, request: control.Request) -> control.Reply:
        match request:
            case control.GetStatus():
                return control.StatusAnswer(self.status())
            case control.Scale():
                return self._scale(request)
            case control.Down():
                self.hurry(Urgency.DRAIN)
                return control.Done()
            case control.WaitReady():
                return await self._wait_ready()

    def _scale(self, request: control.Scale) -> control.Reply:
        scaler = self._scalers.get(request.deployment)
        if scaler is None:
            known = ", ".join(self._scalers)
            return control.Refused(f"no deployment is named '{request.deployment}'; known: {known}")
        highest = self._sets[request.deployment].blueprint.deployment.scaling.max
        if request.replicas is not None and not 0 <= request.replicas <= highest:
            return control.Refused(
                f"{request.replicas} replicas are outside 0 to {highest}; {highest} is "
                f"deployments.{request.deployment}.scaling.max in the fleet file"
            )
        scaler.pause(request.replicas)
        self._sets[request.deployment].retry()
        return control.Done()

    async def _wait_ready(self) -> control.Reply:
        await first(self._serving.wait(), self._patience.lost(Urgency.DRAIN))
        return control.Done() if self._serving.is_set() else control.Refused("the fleet ended")

    def status(self) -> FleetStatus:
        """Return the fleet as it is now."""
        return FleetStatus(
            fleet=self._file.fleet.fleet,
            file=str(self._file.path),
            pid=os.getpid(),
            since=self._since,
            uptime=time.time() - self._since,
            address=self._reserved.address,
            stopping=self._patience.urgency > Urgency.NONE,
            gateway_pid=self._link.pid,
            deployments=tuple(
                self._sets[name].snapshot(why=scaler.why, paused=scaler.paused)
                for name, scaler in self._scalers.items()
            ),
        )


_FAREWELL = {
    Urgency.DRAIN: "stopping: requests in flight are finished first (again: do not wait for them)",
    Urgency.TERM: "hurrying: engines are told to stop now (again: kill them)",
    Urgency.KILL: "killing all engines",
}


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
