"""What people ask of rollouts and reloads, and what is remembered of them.

One runs at a time. The edition before the last one is kept, so that `headrace rollout --undo` can
return to it even if its file has been edited in place. `rollout.py` does the work, `reload.py` what
needs none; every step goes to the display, to `rollouts.jsonl`, and to whoever follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from headrace.fleet.load import raise_problems
from headrace.fleet.problems import FleetError
from headrace.local import control, reload, rollout_plan
from headrace.local.blueprint import Blueprint
from headrace.local.deployments import Deployments
from headrace.local.edition import Edition
from headrace.local.errors import LocalError
from headrace.local.journal import Journal
from headrace.local.rollout import Rollout, Switch
from headrace.local.state import StateDir
from headrace.local.waiting import cancel, first
from headrace.models.errors import WeightsError
from headrace.view.events import Emit, event
from headrace.view.status import RolloutStatus

_PATIENCE = 20.0
"""Seconds until a question for news is answered without any."""

_PAUSED = "paused: no further step until `headrace rollout --resume`; `--undo` returns"


class Loads(Protocol):
    """Makes a changed file ready; `rollout_load.Loader` for a real machine."""

    def load(self, path: Path) -> Edition:
        """Return the file ready to be served; FleetError, WeightsError, LocalError."""
        ...

    def check_room(
        self, edition: Edition, surges: Sequence[Blueprint], active: Mapping[str, int]
    ) -> None:
        """Return if each of `surges` can be started beside what runs; else FleetError."""
        ...


class Interrupted(msgspec.Struct, frozen=True):
    """A rollout under way, in `rollout.json` for whoever comes after a sudden end."""

    old: str
    new: str
    at: float


class Rollouts:
    """The rollout that is under way, the last one, and the way back; `edition` is served now."""

    def __init__(self, edition: Edition, loader: Loads, state: StateDir, emit: Emit) -> None:
        self.edition = edition
        self._loader, self._state, self._emit = loader, state, emit
        self._previous: Edition | None = None
        self._journal = Journal(state.rollouts)
        self._lines: list[str] = []
        self._fresh = asyncio.Event()
        self._loading = False
        self._rollout: Rollout | None = None
        self._running: asyncio.Task[None] | None = None

    def open(self, deployments: Deployments, switch: Switch, tasks: asyncio.TaskGroup) -> None:
        """Say what rollouts act on, once that is there."""
        self._deployments, self._switch, self._tasks = deployments, switch, tasks

    async def close(self) -> None:
        """Leave the rollout where it is: the fleet ends."""
        if self._running and not self._running.done():
            await cancel(self._running)
            self._say("stopped where it is, as the fleet ends")

    @property
    def status(self) -> RolloutStatus | None:
        """The rollout under way, or the last one."""
        if self._rollout is None:
            return None
        return RolloutStatus(
            old=str(self._rollout.old.path),
            new=str(self._rollout.new.path),
            state=self._rollout.state,
            text=self._lines[-1] if self._lines else "",
        )

    async def respond(self, request: control.RolloutRequest) -> control.Reply:
        """Answer a person."""
        match request:
            case control.Rollout():
                return await self._begin(Path(request.file), request.watch)
            case control.UndoRollout():
                return await self._undo()
            case control.PauseRollout():
                return self._pause(paused=True)
            case control.ResumeRollout():
                return self._pause(paused=False)
            case control.FollowRollout():
                return await self._news(request.after)
            case control.Reload():
                return await self._reload(Path(request.file))

    # Beginning.

    async def _begin(self, path: Path, watch: float | None) -> control.Reply:
        busy = self._busy()
        if busy:
            return control.Refused(busy)
        return await self._prepared(self._load_and_start(path, watch))

    async def _prepared(self, starting: Awaitable[control.Reply]) -> control.Reply:
        """Refuse others meanwhile, and say what is wrong as a refusal."""
        self._loading = True
        try:
            return await starting
        except (FleetError, WeightsError, LocalError) as error:
            return control.Refused(str(error))
        finally:
            self._loading = False

    async def _load_and_start(self, path: Path, watch: float | None) -> control.Reply:
        edition = await asyncio.to_thread(self._loader.load, path)
        fixed = rollout_plan.fixed(self.edition.file.fleet, edition.file.fleet)
        raise_problems(edition.file.problem(*found) for found in fixed)
        return await self._start(edition, watch=watch, judged=True)

    async def _start(self, edition: Edition, *, watch: float | None, judged: bool) -> control.Reply:
        plan = rollout_plan.compare(self.edition, edition)
        if plan.empty:
            return control.RolloutBegun(())
        surges = [edition.by_name[name] for name in (*plan.of("rolled"), *plan.of("added"))]
        active = {one.blueprint.name: one.present for one in self._deployments.sets}
        await asyncio.to_thread(self._loader.check_room, edition, surges, active)
        self._lines = []
        self._rollout = Rollout(
            self.edition,
            edition,
            plan,
            deployments=self._deployments,
            switch=self._switched,
            say=self._say,
            watch=watch,
            judged=judged,
        )
        self._running = self._tasks.create_task(self._run(self._rollout))
        return control.RolloutBegun(plan.lines())

    async def _run(self, rollout: Rollout) -> None:
        self._note(rollout)
        for line in rollout.plan.lines():
            self._write(line)
        await rollout.run()
        if rollout.state == "done":
            self._previous = rollout.old
        self._write(rollout.state)
        self._state.rollout.unlink(missing_ok=True)
        self._fresh.set()

    def _switched(self, edition: Edition, removed: Sequence[Blueprint]) -> None:
        self.edition = edition
        self._switch(edition, removed)

    def _note(self, rollout: Rollout) -> None:
        """Write down what is under way; `interrupted` reads it after a sudden end."""
        note = Interrupted(str(rollout.old.path), str(rollout.new.path), time.time())
        with contextlib.suppress(OSError):  # a full disk loses the note, never the fleet
            self._state.rollout.write_bytes(msgspec.json.encode(note))

    def _busy(self) -> str:
        if self._loading:
            return "another change is being prepared; wait, then see `headrace status`"
        if self._running and not self._running.done() and self.status:
            return (
                f"a rollout to {self.status.new} is {self.status.state}; go on with `headrace "
                "rollout --resume`, return with `headrace rollout --undo`, or wait for its end"
            )
        return ""

    # A change that touches no replica.

    async def _reload(self, path: Path) -> control.Reply:
        busy = self._busy()
        if busy:
            return control.Refused(busy)
        return await self._prepared(self._read_and_serve(path))

    async def _read_and_serve(self, path: Path) -> control.Reply:
        old = self.edition
        read = await asyncio.to_thread(reload.read, old, path)
        if read.lines:
            self._previous = old
        for blueprint in read.edition.blueprints:
            self._deployments.adopt(blueprint)
        self._switched(read.edition, ())
        for text in read.lines:
            self._emit(event("rollout", "reload", text))
            self._journal.write(_entry(read.edition.path, text))
        return control.ReloadDone(read.lines)

    # What people ask while it runs.

    def _under_way(self) -> Rollout | None:
        running = self._running is not None and not self._running.done()
        return self._rollout if running else None

    async def _undo(self) -> control.Reply:
        rollout = self._under_way()
        if rollout is None:
            return await self._undo_last()
        if rollout.switched:
            return control.Refused(
                "the routes are switched already; when what was removed has drained, ask again"
            )
        rollout.gate.undo, rollout.gate.paused = True, False
        return control.RolloutBegun((f"returning to {rollout.old.path}",))

    async def _undo_last(self) -> control.Reply:
        busy = self._busy()
        if busy or self._previous is None:
            none = "there has been no rollout or reload since `headrace up`: nothing to undo"
            return control.Refused(busy or none)
        return await self._prepared(self._start(self._previous, watch=None, judged=False))

    def _pause(self, *, paused: bool) -> control.Reply:
        rollout = self._under_way()
        wanted = {"running"} if paused else {"paused"}
        if rollout is None or rollout.state not in wanted:
            what = f"it is {rollout.state}" if rollout else "none is under way"
            return control.Refused(f"no rollout can be {'paused' if paused else 'resumed'}: {what}")
        rollout.gate.paused = paused
        self._say(_PAUSED if paused else "resumed")
        return control.Done()

    async def _news(self, after: int) -> control.Reply:
        if self._rollout is None:
            return control.Refused("there has been no rollout since `headrace up`")
        if len(self._lines) <= after and self._rollout.state in {"running", "returning"}:
            self._fresh.clear()
            await first(self._fresh.wait(), within=_PATIENCE)
        return control.RolloutNews(tuple(self._lines[after:]), self._rollout.state)

    # Telling.

    def _say(self, text: str) -> None:
        self._lines.append(text)
        self._emit(event("rollout", "rollout", text))
        self._write(text)
        self._fresh.set()

    def _write(self, text: str) -> None:
        if self._rollout:
            self._journal.write(_entry(self._rollout.new.path, text))


def _entry(file: Path, text: str) -> dict[str, object]:
    return {"at": round(time.time(), 3), "new": str(file), "text": text}


def interrupted(state: StateDir) -> str:
    """Return what a fleet that ended suddenly was in the middle of, once, or nothing."""
    try:
        note = msgspec.json.decode(state.rollout.read_bytes(), type=Interrupted)
        state.rollout.unlink()
    except (OSError, msgspec.MsgspecError):
        return ""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(note.at))
    return f"a rollout from {note.old} to {note.new}, begun {when}, was interrupted"
