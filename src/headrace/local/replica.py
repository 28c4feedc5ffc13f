"""One replica from its start to its end: start, prove, serve, watch, drain, stop.

`view.states` has the steps it may take, `startup.py` a start's phases, `kept.py` the process;
`headrace.gateway` what ready means (`proof.py`), and what it takes to stay so (`look.py`).
`replicaset.py` owns replicas and learns by `changed` that one moved on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from headrace.gateway import proof
from headrace.gateway.look import Found, glance, look
from headrace.gateway.proof import WrongAnswerError
from headrace.local import kept, launching, logs, outcome, startup, strays, temporary
from headrace.local.blueprint import Blueprint
from headrace.local.launching import HOST, Place
from headrace.local.outcome import Outcome
from headrace.local.ports import free_port
from headrace.local.recording import Recorder
from headrace.local.startup import Phases
from headrace.local.stopping import Flight, Patience, Urgency
from headrace.local.waiting import cancel, first
from headrace.view.events import Emit, Kind, event
from headrace.view.states import NEXT, State


@dataclass(frozen=True)
class Pace:
    """Times of a replica's life in seconds; tests bring shorter ones."""

    watch: float = 2.0
    """Between two looks at a ready replica's health."""
    strikes: int = 3
    """Failed looks in a row until it gets no more work."""
    proof: float = 60.0
    """Between two known prompts for a ready replica that nobody suspects: an engine that has begun
    to answer wrongly gives no other sign."""
    health: float = 2.0
    """For a suspected replica to say that it is alive."""
    prompt: float = 10.0
    """For a suspected replica to answer the known prompt."""
    recovery: float = 60.0
    """Longest time without health until it counts as crashed."""
    settle: float = 0.25
    """For the gateway to learn that a replica drains."""
    leave: float = 10.0
    """For requests that outlast the drain to move to other replicas."""
    short_grace: float = 5.0
    """From SIGTERM to SIGKILL for a replica that has no work."""


@dataclass(frozen=True)
class Site:
    """What all replicas of a fleet share."""

    folder: Path
    logs: Path
    client: httpx.AsyncClient
    emit: Emit
    starts: Recorder
    pace: Pace = Pace()


class Replica:
    """One engine process and what is known about it.

    `relieved` says whether another replica of the deployment can take over what this one has.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        slot: int,
        site: Site,
        changed: Callable[[], None],
        relieved: Callable[[], bool],
    ) -> None:
        self.id = f"{blueprint.name}-{slot}"
        self.slot = slot
        self.state = State.STARTING
        self.since = time.monotonic()
        self.phases = Phases()
        self.flight = Flight()
        self.patience = Patience()
        self.port = free_port(HOST)
        self.log = site.logs / f"{self.id}.log"
        self.engine: kept.Kept | None = None
        self.was_ready = False
        self.kv_tokens: int | None = None
        """What its KV cache holds, if its log has told."""
        self._blueprint, self._site, self._changed = blueprint, site, changed
        self._relieved = relieved
        self._suspected = asyncio.Event()

    @property
    def base(self) -> str:
        """The engine's address."""
        return f"http://{HOST}:{self.port}"

    @property
    def blueprint(self) -> Blueprint:
        """What it was started from, or has adopted since."""
        return self._blueprint

    def adopt(self, blueprint: Blueprint) -> None:
        """Go by other times and limits; the engine notices nothing, and keeps its old names."""
        self._blueprint = replace(blueprint, aliases=self._blueprint.aliases)

    def _age(self) -> float:
        return time.monotonic() - self.since

    def suspect(self, what: str) -> None:
        """Have the replica looked at now: the gateway saw it fail.

        Reports that come before the look is over ask for no other.
        """
        if self.state == State.READY and not self._suspected.is_set():
            self._tell("note", f"the gateway saw: {what}; looking at it")
            self._suspected.set()

    async def live(self) -> Outcome:
        """Start and stay until nothing of the replica is left; lose `patience` to make it stop."""
        try:
            logs.renew(self.log)
            own = temporary.made(self._site.folder, self.id)
            place = Place(self.slot, self.id, self.port, self.log, own)
            program = launching.program(self._blueprint, place, self._site.folder)
            self.engine = engine = await kept.start(program)
        except (kept.StartError, OSError) as error:  # OSError: no disk or no process left for it
            self._to(State.CRASHED)
            return Outcome("crashed", f"cannot be started: {error}")
        self._tell("started", f"process {engine.pid} on port {self.port}, log {self.log}")
        try:
            ended = await self._until_end(engine)
        finally:
            await asyncio.shield(self._bury(engine))
        self._to(State.GONE)
        return replace(ended, was_ready=self.was_ready)

    async def _until_end(self, engine: kept.Kept) -> Outcome:
        serving = asyncio.ensure_future(self._serve())
        stop = asyncio.ensure_future(self.patience.lost(Urgency.DRAIN))
        reading = asyncio.ensure_future(self._read_phases())
        try:
            await first(serving, stop, engine.exit)
            if engine.exit.done():
                self._to(State.CRASHED)
                return outcome.crashed(
                    self._blueprint.engine,
                    logs.tail(self.log),
                    engine.exit.result(),
                    was_ready=self.was_ready,
                )
            if stop.done():
                await cancel(serving)  # an engine that ends is not one that fails
                await self._stop(engine)
                return Outcome("stopped")
            return self._failed(serving.exception())
        finally:
            await cancel(serving, stop, reading)

    # Start and watch.

    async def _read_phases(self) -> None:
        async for line in logs.follow(self.log):
            phase = self._blueprint.engine.phase(line)
            if self.state != State.STARTING:
                return
            if phase:
                self._phase(phase)

    def _phase(self, name: str) -> None:
        ended = self.phases.begin(name)
        if ended:
            self._tell("phase", ended.name, ended.seconds)
            self._changed()

    async def _serve(self) -> None:
        patience = self._blueprint.deployment.lifecycle.startup
        while True:
            await self._get_ready(patience)
            await self._watch()
            self._to(State.PROBING)
            patience = self._site.pace.recovery

    async def _get_ready(self, patience: float) -> None:
        async with asyncio.timeout(patience):
            await proof.until_healthy(self._site.client, self.base, self._alive)
            self._to(State.PROBING)
            if not self.was_ready:
                self._phase(startup.PROMPT_PHASE)
            await proof.prove(self._site.client, self.base, self._blueprint)
        if self.was_ready:
            self._tell("ready", "answers rightly again")
        else:
            self._phase("")
            self.kv_tokens = outcome.kv_tokens(self._blueprint.engine, logs.tail(self.log))
            self._tell("ready", f"right answer on port {self.port} after", self._age())
        self.was_ready = True
        self._to(State.READY)

    async def _watch(self) -> None:
        """Return when it should get no more work; WrongAnswerError if it answers wrongly."""
        strikes, most, proven = 0, self._site.pace.strikes, time.monotonic()
        while strikes < most:
            suspected = await self._pause()
            due = time.monotonic() - proven >= self._site.pace.proof
            if suspected:
                found = await self._look()
                self._suspected.clear()
            else:
                found = await (self._prove() if due else self._glance())
            grave = suspected and found is Found.UNFIT
            strikes = 0 if found is Found.FIT else strikes + (most if grave else 1)
            if (suspected or due) and found is not Found.UNFIT:  # else the next one is due at once
                proven = time.monotonic()
        self._tell("unhealthy", "does not answer; it gets no work until it does")

    @property
    def _alive(self) -> str:
        return self._blueprint.engine.health_path

    async def _glance(self) -> Found:
        return await glance(self._site.client, self.base, self._alive)

    async def _look(self) -> Found:
        found = await self._known_prompt()
        if found is Found.BUSY:
            limit = self._site.pace.prompt
            words = f"no answer to the known prompt within {limit:g} s, but others get theirs"
            self._tell("note", words)
        return found

    async def _prove(self) -> Found:
        """Ask it unsuspected: being busy is no fault, and a wrong answer is asked for once more."""
        try:
            found = await self._known_prompt()
        except WrongAnswerError as error:
            self._tell("note", f"{error}; asking again")
            self._suspected.set()
            return Found.UNFIT
        return Found.FIT if found is Found.BUSY else found

    async def _known_prompt(self) -> Found:
        pace = self._site.pace
        return await look(
            *(self._site.client, self.base, self._blueprint),
            health=pace.health,
            prompt=pace.prompt,
        )

    async def _pause(self) -> bool:
        """Wait for the next look; return whether somebody asked for it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._suspected.wait(), self._site.pace.watch)
        return self._suspected.is_set()

    # Ends.

    async def _stop(self, engine: kept.Kept) -> None:
        """Drain, move what is left, then SIGTERM; SIGKILL when the grace is over."""
        grace = self._blueprint.deployment.lifecycle.grace
        end = time.monotonic() + (grace if self.was_ready else self._site.pace.short_grace)
        if self.state == State.READY:
            await self._drain(engine)
            await self._leave(engine, within=(end - time.monotonic()) / 2)
        self._to(State.STOPPING)
        engine.terminate()
        await first(engine.gone, self.patience.lost(Urgency.KILL), within=end - time.monotonic())

    async def _drain(self, engine: kept.Kept) -> None:
        self._to(State.DRAINING)
        self._tell("stopping", f"draining {self.flight.count} requests")
        await self._landed(engine, self._blueprint.deployment.lifecycle.drain)

    async def _leave(self, engine: kept.Kept, within: float) -> None:
        """Have others take over what the drain did not finish, where there are others.

        Where there are none, the engine's own drain goes on until the grace is over.
        """
        waits = self.flight.count and not engine.exit.done()
        if waits and self.patience.urgency < Urgency.TERM and self._relieved():
            self._to(State.LEAVING)
            self._tell("stopping", f"moving {self.flight.count} requests to other replicas")
            await self._landed(engine, min(self._site.pace.leave, within))

    async def _landed(self, engine: kept.Kept, seconds: float) -> None:
        landed = self.flight.landed(self._site.pace.settle)
        await first(landed, self.patience.lost(Urgency.TERM), engine.exit, within=seconds)

    def _failed(self, error: BaseException | None) -> Outcome:
        """Say what the end of serving means: only failures end it."""
        match error:
            case WrongAnswerError():
                self._to(State.WRONG)
                words = f"{error}; it gets no work and is stopped"
                self._site.emit(event("wrong", self.id, words, told=error.silent))
                return Outcome("wrong", f"wrong answer: {error}", told=error.silent)
            case TimeoutError():
                self._to(State.CRASHED)
                return self._timed_out()
            case None:
                raise AssertionError("serving never ends by itself")
            case _:
                raise error

    def _timed_out(self) -> Outcome:
        if self.was_ready:
            return outcome.no_health(self._site.pace.recovery)
        blueprint, lines = self._blueprint, logs.tail(self.log)
        limit = blueprint.deployment.lifecycle.startup
        return outcome.too_slow(blueprint.engine, lines, self.phases.name, limit)

    async def _bury(self, engine: kept.Kept) -> None:
        """See to it that nothing is left, whatever happened before."""
        if not engine.exit.done() and self.state in {State.WRONG, State.CRASHED}:
            engine.terminate()
            await asyncio.wait({engine.gone}, timeout=self._site.pace.short_grace)
        if not engine.gone.done():
            engine.kill()
        await engine.gone
        if engine.exit.result() == kept.KILLED:
            strays.kill(strays.find(str(self._site.folder), self.id))
        temporary.removed(self._site.folder, self.id)

    # Telling.

    def _to(self, state: State) -> None:
        if state == self.state:
            return
        if state not in NEXT[self.state]:
            raise AssertionError(f"{self.id}: {self.state} cannot become {state}")
        self.state = state
        self._changed()

    def _tell(self, kind: Kind, text: str, seconds: float | None = None) -> None:
        self._site.emit(event(kind, self.id, text, seconds))
