"""A fleet on one machine, from `headrace up` to its end: owns the gateway, all replicas, the clock.

It connects the parts and decides nothing: `gateway_link.py` has the gateway, `deployments.py` the
replicas and the rules that scale them, `rollouts.py` moves both to another file. Ending is in
order: the gateway finishes what runs, then the engines stop, then the folder is tidied.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

import httpx

from headrace.fleet.problems import FleetError
from headrace.gateway import control as gateway
from headrace.gateway.key_file import KeyFile, key_file
from headrace.local import control
from headrace.local.blueprint import Blueprint, plain_model
from headrace.local.closing import end, signals
from headrace.local.deployments import Deployments
from headrace.local.edition import Edition
from headrace.local.errors import LocalError
from headrace.local.gateway_config import configuration
from headrace.local.gateway_link import GatewayLink
from headrace.local.gateway_process import COMMAND
from headrace.local.journal import Journal
from headrace.local.recording import Recorder
from headrace.local.replica import Pace, Site
from headrace.local.reserve import Reserved, holder_of
from headrace.local.rollouts import Loads, Rollouts, interrupted
from headrace.local.stopping import Patience, Urgency
from headrace.local.waiting import cancel, first
from headrace.view.display import Display
from headrace.view.events import Event, event
from headrace.view.status import FleetStatus

_TICK = 1.0
_KEYS_EVERY = 2.0
"""Seconds between two looks at the file of API keys."""
FAILED = 1
"""Exit status when no deployment could ever serve."""


class Supervisor:
    """One fleet that is up; `run` serves until `hurry` was called."""

    def __init__(
        self,
        edition: Edition,
        reserved: Reserved,
        display: Display,
        loader: Loads,
        *,
        starts: Recorder | None = None,
        pace: Pace | None = None,
        gateway_command: Sequence[str] = COMMAND,
    ) -> None:
        """Read the API keys: FleetError if they cannot be used."""
        self._reserved, self._state = reserved, reserved.state
        self._display, self._pace = display, pace or Pace()
        self._events = Journal(self._state.events)
        self._patience = Patience()
        self._since = time.time()
        self._starts = starts or Recorder(self._state.starts)
        self._starts.emit = self._emit
        self._rollouts = Rollouts(edition, loader, self._state, self._emit)
        self._keys = key_file(edition.file)
        self._removed: Sequence[Blueprint] = ()
        self._deployments: Deployments | None = None
        self._serving = asyncio.Event()
        self._link = self._make_link(gateway_command)
        self._failed = False
        self._note = interrupted(self._state)

    @property
    def _edition(self) -> Edition:
        return self._rollouts.edition

    @property
    def _fleet(self) -> str:
        return self._edition.file.fleet.fleet

    def hurry(self, urgency: Urgency | None = None) -> None:
        """End the fleet; each call without an urgency is less patient than the one before."""
        if urgency is None:
            urgency = Urgency(min(self._patience.urgency + 1, Urgency.KILL))
        if urgency > self._patience.urgency:
            self._emit(event("stopping", self._fleet, _FAREWELL[urgency]))
        self._patience.lose(urgency)

    async def run(self) -> int:
        """Serve until the end and leave nothing behind; return the exit status.

        GatewayError if the gateway does not stay up.
        """
        if self._note:
            self._emit(
                event("rollout", self._fleet, f"{self._note}; this is the file it was given")
            )
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
        site = Site(
            self._state.path, self._state.logs, client, self._emit, self._starts, self._pace
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                linking = tasks.create_task(self._link.run())
                deployments = self._open(site, tasks)
                others = [
                    tasks.create_task(self._tick()),
                    tasks.create_task(self._watch_keys()),
                    tasks.create_task(self._display.run(self.status)),
                ]
                await self._patience.lost(Urgency.DRAIN)
                await self._rollouts.close()
                await deployments.rest()
                await cancel(*others)
                await end(self._link, linking, deployments.sets, self._patience)
        except BaseExceptionGroup as group:
            raise _first(group) from None  # one failure ends all of it; the first says why
        finally:
            await self._starts.flush()

    def _open(self, site: Site, tasks: asyncio.TaskGroup) -> Deployments:
        deployments = Deployments(site, tasks, Journal(self._state.decisions), self._changed)
        for blueprint in self._edition.blueprints:
            deployments.add(blueprint)
        self._rollouts.open(deployments, self._switch, tasks)
        self._deployments = deployments
        self._starts.busy = lambda: sum(one.busy for one in deployments.sets)
        return deployments

    # What flows between the parts.

    def _make_link(self, command: Sequence[str]) -> GatewayLink:
        return GatewayLink(
            self._reserved.sockets,
            self._configuration(),
            self._state.logs / "gateway.log",
            self._hear,
            emit=self._emit,
            command=command,
        )

    def _configuration(self) -> gateway.Configure:
        return configuration(self._edition, self._state, self._keys.keys, self._removed)

    def _hear(self, message: gateway.FromGateway | None) -> None:
        match message:
            case gateway.Demand() | gateway.Stats() | gateway.Fault():
                if self._deployments:
                    self._deployments.hear(message)
            case gateway.Listening():
                text = f"listens on {self._reserved.address}, metrics on {self._reserved.admin}"
                self._emit(event("gateway", "gateway", text))
            case None:
                if self._deployments:
                    self._deployments.deaf()

    def _changed(self, message: gateway.Replicas) -> None:
        self._link.tell(message)
        self._look()

    def _switch(self, edition: Edition, removed: Sequence[Blueprint]) -> None:
        """Serve an edition's routes; `removed` deployments finish what they have."""
        self._keys = self._keys_of(edition)
        self._removed = removed
        self._link.configure(self._configuration())
        lock = self._reserved.lock
        lock.describe(holder_of(edition.file, self._reserved.address, lock.since))

    def _keys_of(self, edition: Edition) -> KeyFile:
        try:
            return key_file(edition.file)
        except FleetError as error:
            self._emit(event("note", "gateway", f"the keys stay as they were: {error}"))
            return self._keys

    def _look(self) -> None:
        """Say once that the fleet serves, and end if it never can."""
        if self._patience.urgency or self._deployments is None:
            return
        if not self._serving.is_set() and self.status().settled:
            self._serving.set()
            self._emit(event("serving", self._fleet, "serves"))
            self._display.serving(self.status())
        sets = self._deployments.sets
        if all(one.given_up and not one.ever_ready for one in sets):
            self._failed = True
            self.hurry(Urgency.DRAIN)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for replicas in self._deployments.sets if self._deployments else ():
                replicas.calm()
            self._look()

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(_KEYS_EVERY)
            if self._keys.changed():
                self._read_keys()

    def _read_keys(self) -> None:
        try:
            self._keys.read()
        except FleetError as error:
            self._emit(event("note", "gateway", f"the API keys stay as they were: {error}"))
            return
        self._link.configure(self._configuration())
        count = len(self._keys.keys or ())
        self._emit(event("gateway", "gateway", f"the API keys were read again: {count}"))

    def _emit(self, happened: Event) -> None:
        self._events.write(happened)
        self._display.show(happened)

    # Answers to `headrace status`, `scale`, `rollout` and others.

    async def _respond(self, request: control.Request) -> control.Reply:
        match request:
            case control.GetStatus():
                return control.StatusAnswer(self.status())
            case control.Down():
                self.hurry(Urgency.DRAIN)
                return control.Done()
            case control.WaitReady():
                return await self._wait_ready()
            case _ if self._patience.urgency or self._deployments is None:
                return control.Refused("the fleet is ending, or has not begun yet")
        try:
            return await self._act(request, self._deployments)
        except LocalError as error:
            return control.Refused(str(error))

    async def _act(
        self,
        request: control.Scale | control.ReplaceGateway | control.RolloutRequest,
        deployments: Deployments,
    ) -> control.Reply:
        match request:
            case control.Scale():
                deployments.scale(request.deployment, request.replicas)
                return control.Done()
            case control.ReplaceGateway():
                done = await self._link.replace()
                return control.GatewayReplaced(done.old, done.new, done.requests)
            case _:
                return await self._rollouts.respond(request)

    async def _wait_ready(self) -> control.Reply:
        await first(self._serving.wait(), self._patience.lost(Urgency.DRAIN))
        return control.Done() if self._serving.is_set() else control.Refused("the fleet ended")

    def status(self) -> FleetStatus:
        """Return the fleet as it is now."""
        return FleetStatus(
            fleet=self._fleet,
            file=str(self._edition.path),
            pid=os.getpid(),
            since=self._since,
            uptime=time.time() - self._since,
            address=self._reserved.address,
            admin=self._reserved.admin,
            stopping=self._patience.urgency > Urgency.NONE,
            gateway_pid=self._link.pid,
            finishing=self._link.finishing,
            rollout=self._rollouts.status,
            note=self._note,
            plain=plain_model(self._edition.file.fleet),
            keyed=self._edition.file.fleet.gateway.keys is not None,
            digest=self._edition.file.digest,
            deployments=self._deployments.statuses() if self._deployments else (),
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
