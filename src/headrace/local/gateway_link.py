"""The gateway as the supervisor sees it: always one that serves, told everything, replaced at will.

The listening sockets outlive the gateways: they are bound once (`reserve.py`) and each gateway
inherits them, so clients that connect while one is being replaced wait instead of being refused.
One that was replaced finishes the streams it has, for as long as they take; until it ends its
demand is added to the newest one's. `gateway_process.py` is one gateway, `headrace.gateway.control`
has the messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headrace.gateway import control
from headrace.gateway.demand import DemandBooks
from headrace.local import gateway_process, logs
from headrace.local.errors import LocalError
from headrace.local.gateway_process import COMMAND, GatewayProcess, Sockets
from headrace.local.waiting import first
from headrace.view.events import Emit, event

_QUICK = 10.0
"""Seconds; a gateway that ends sooner counts towards giving up."""
_TRIES = 5
_PAUSE = 0.3
_START = 30.0
"""Seconds that a new gateway gets to serve before the old one is kept."""


class GatewayError(LocalError):
    """The gateway does not stay up, or cannot be replaced; the message has the end of its log."""


@dataclass(frozen=True)
class Replaced:
    """`old` handed over to `new` (process ids) and finishes `requests` of its own."""

    old: int | None
    new: int
    requests: int


class GatewayLink:
    """Keeps a gateway serving; `hear` gets all messages, and None when nobody serves."""

    def __init__(
        self,
        sockets: Sockets,
        configure: control.Configure,
        log: Path,
        hear: Callable[[control.FromGateway | None], None],
        *,
        emit: Emit,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._sockets, self._configure, self._log = sockets, configure, log
        self._hear, self._emit, self._command = hear, emit, command
        self._replicas: dict[str, control.Replicas] = {}
        self._books = DemandBooks()
        self._living: set[GatewayProcess] = set()
        self._newest: GatewayProcess | None = None
        self._vacant = asyncio.Event()
        self._turn = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None
        self._draining: float | None = None
        self._quick = 0

    @property
    def pid(self) -> int | None:
        """The process id of the gateway that serves new clients."""
        return self._newest.pid if self._newest else None

    @property
    def finishing(self) -> int:
        """How many replaced gateways still finish streams."""
        return len(self._living - {self._newest})

    # What the supervisor says.

    def tell(self, replicas: control.Replicas) -> None:
        """Pass on a deployment's replicas, now and to each later gateway."""
        if self._replicas.get(replicas.deployment) != replicas:
            self._replicas[replicas.deployment] = replicas
            self._send(replicas)

    def configure(self, message: control.Configure) -> None:
        """Replace routes, deployments and keys, and drop the replicas of what is gone."""
        self._configure = message
        names = {one.name for one in message.deployments}
        self._replicas = {name: one for name, one in self._replicas.items() if name in names}
        self._send(message)
        for replicas in self._replicas.values():  # a deployment that is new there has none yet
            self._send(replicas)

    def drain(self, timeout: float) -> None:
        """Have all gateways finish what runs, for at most `timeout` seconds, and end.

        Our copies of the sockets are closed, so that new clients are refused and not left waiting.
        """
        self._draining = timeout
        self._sockets.close()
        self._send(control.Drain(timeout=timeout))

    def kill(self) -> None:
        """End all gateways now."""
        self._draining = 0.0
        self._sockets.close()
        for process in self._living:
            process.kill()

    async def replace(self) -> Replaced:
        """Let a new gateway serve and the old one finish; GatewayError if the new one does not."""
        async with self._turn:
            if self._draining is not None:
                raise GatewayError("the fleet is ending, so its gateway is not replaced")
            new = await self._start()
            await first(new.listening.wait(), new.ended.wait(), within=_START)
            if not new.listening.is_set():
                new.kill()
                raise GatewayError(_no_successor(self._log))
            old = self._newest
            self._take(new)
            requests = self._retire(old) if old else 0
        return Replaced(old.pid if old else None, new.pid, requests)

    async def run(self) -> None:
        """Keep a gateway serving until all were told to drain and ended.

        GatewayError, in an exception group, if none stays up.
        """
        async with asyncio.TaskGroup() as self._tasks:
            while self._draining is None:
                async with self._turn:
                    if self._newest is None:
                        self._take(await self._start())
                await self._vacant.wait()
                if self._quick:
                    await asyncio.sleep(_PAUSE)

    # From the start of a gateway to its end.

    async def _start(self) -> GatewayProcess:
        process = await gateway_process.start(self._command, self._sockets, self._log)
        if self._tasks is None:
            raise AssertionError("gateways run only while the link does")
        self._living.add(process)
        self._tasks.create_task(self._keep(process))
        process.send(self._configure)
        for replicas in self._replicas.values():
            process.send(replicas)
        if self._draining is not None:
            process.send(control.Drain(timeout=self._draining))
        return process

    async def _keep(self, process: GatewayProcess) -> None:
        try:
            how = await process.live(partial(self._heard, process))
        finally:
            self._living.discard(process)
            self._books.forget(process.pid)
        if process is self._newest:
            self._lost(process, how)
        else:
            self._say(f"process {process.pid} has finished ({how})")
            self._pass_on(self._books.deployments)

    def _take(self, process: GatewayProcess) -> None:
        self._newest = process
        self._vacant.clear()

    def _retire(self, old: GatewayProcess) -> int:
        """Have a gateway finish what it has, in its own time; return how many requests that is.

        Each request's own time limit bounds it.
        """
        old.send(control.Drain(timeout=self._configure.limits.total))
        requests = self._books.of(old.pid)
        has = f"{requests} in flight"
        self._say(f"process {self.pid} serves; {old.pid} finishes what it has ({has}) and ends")
        return requests

    def _lost(self, process: GatewayProcess, how: int | str) -> None:
        """Have another one started, unless this happens too often."""
        self._vacate()
        self._hear(None)
        if self._draining is not None:
            return
        quick = time.monotonic() - process.began < _QUICK
        self._quick = self._quick + 1 if quick else 0
        if self._quick >= _TRIES:
            raise GatewayError(_gave_up(how, self._log))
        self._say(f"ended ({how}); starting it again, connections in flight are lost")

    def _vacate(self) -> None:
        self._newest = None
        self._vacant.set()

    # What gateways say.

    def _heard(self, process: GatewayProcess, message: control.FromGateway) -> None:
        match message:
            case control.Demand():
                self._books.take(process.pid, message)
                self._pass_on({message.deployment})
            case control.Stats():
                if process is self._newest:
                    self._hear(message)
            case control.Draining():
                if process is self._newest and self._draining is None:
                    self._say("was told to end by a signal; another one takes over")
                    self._vacate()
            case control.Listening():
                process.listening.set()
                self._hear(message)
            case control.Fault():
                self._hear(message)

    def _pass_on(self, deployments: set[str]) -> None:
        for name in deployments:
            total = self._books.total(name, self.pid)
            if total is not None:
                self._hear(total)

    def _send(self, message: control.ToGateway) -> None:
        for process in self._living:
            process.send(message)

    def _say(self, text: str) -> None:
        self._emit(event("gateway", "gateway", text))


def _gave_up(how: int | str, log: Path) -> str:
    return f"the gateway ended {_TRIES} times at once (status {how}); its log {_end(log)}"


def _no_successor(log: Path) -> str:
    return f"the new gateway does not serve, so the old one goes on; its log {_end(log)}"


def _end(log: Path) -> str:
    words = "\n".join(logs.tail(log, 5))
    return f"{log} ends:\n{words}"
