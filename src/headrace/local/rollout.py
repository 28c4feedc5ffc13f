"""One rollout: a running fleet moves from one edition of its file to another, step by step.

First added deployments are started and proven, then changed ones are moved one after another
(`rollout_move.py`), then routes are switched, then removed deployments are drained. If anything new
is worse, or somebody asks, everything returns the same careful way; routes have not changed then.
`rollouts.py` begins rollouts and answers people.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Sequence

from headrace.local.blueprint import Blueprint
from headrace.local.deployments import Deployed, Deployments
from headrace.local.edition import Edition
from headrace.local.rollout_move import LOOK, Gate, Move, Say, Terms, UndoneError, WorseError
from headrace.local.rollout_plan import Plan
from headrace.local.stopping import Urgency
from headrace.view.status import RolloutState

_SETTLE = 0.25
"""Seconds for the gateway to learn that no route leads to a deployment any more."""

Switch = Callable[[Edition, Sequence[Blueprint]], None]
"""Serve an edition's routes, and finish the requests of further deployments."""


class Rollout:
    """`watch` (seconds) replaces the deployments' own; `judged` False: the old is known good."""

    def __init__(
        self,
        old: Edition,
        new: Edition,
        plan: Plan,
        *,
        deployments: Deployments,
        switch: Switch,
        say: Say,
        watch: float | None = None,
        judged: bool = True,
    ) -> None:
        self.old, self.new, self.plan = old, new, plan
        self.gate = Gate()
        self.switched = False
        self._deployments, self._switch, self._say = deployments, switch, say
        self._watch, self._judged = watch, judged
        self._ended: RolloutState | None = None
        self._returning = False
        self._added: list[str] = []
        self._moved: list[str] = []
        self._moving: Move | None = None

    @property
    def state(self) -> RolloutState:
        """Where it stands."""
        if self._ended:
            return self._ended
        if self._returning:
            return "returning"
        return "paused" if self.gate.paused else "running"

    async def run(self) -> None:
        """Return when all is new, or all is old again."""
        try:
            await self._forward()
        except UndoneError as why:
            self._ended = await self._back(str(why), "undone")
        except WorseError as why:
            self._ended = await self._back(str(why), "returned")
        except Exception as why:  # a defect of ours must not end a fleet that serves
            if self.switched:
                raise
            self._say("".join(traceback.format_exception(why)))
            self._ended = await self._back(f"a defect of Headrace: {why!r}", "returned")
        else:
            before = "" if self._judged else " as it was before"  # it may have been edited since
            self._say(f"done: the fleet serves {self.new.path}{before}")
            self._ended = "done"

    async def _back(self, why: str, ended: RolloutState) -> RolloutState:
        """Return to the old edition; `ended` is how the rollout stands then."""
        self._returning = True
        self._say(f"returning to {self.old.path}: {why}")
        await self._return()
        self._say(f"returned: the fleet is as it was before; {why}")
        return ended

    async def _forward(self) -> None:
        for name in self.plan.of("added"):
            await self._add(name)
        for name in self.plan.of("rolled"):
            await self._open()
            await self._move(name)
        await self._open()
        await self._commit()

    async def _open(self) -> None:
        """Return when nobody stands in the way; UndoneError."""
        while self.gate.paused and not self.gate.undo:  # noqa: ASYNC110 - looks as the moves do
            await asyncio.sleep(LOOK)
        if self.gate.undo:
            raise UndoneError("somebody asked to return")

    async def _commit(self) -> None:
        """Switch the routes, then drain what no route leads to any more."""
        removed = list(self.plan.of("removed"))
        for blueprint in self.new.blueprints:
            self._deployments.adopt(blueprint)
        self.switched = True
        self._serve_new(removed)
        if self.plan.others:
            self._say(f"the gateway is switched: {'; '.join(self.plan.others)}")
        while removed:
            await self._finish(self._deployments[removed[0]])
            await self._remove(removed.pop(0))
            self._serve_new(removed)

    def _serve_new(self, removed: Sequence[str]) -> None:
        self._switch(self.new, [self.old.by_name[name] for name in removed])

    # One deployment.

    async def _add(self, name: str) -> None:
        """Start a deployment and prove it before any route leads there."""
        self._say(f"{name}: starting, as it is new")
        self._added.append(name)
        deployed = self._deployments.add(self.new.by_name[name])
        replicas = deployed.replicas
        least = max(1, replicas.blueprint.deployment.scaling.min)
        while replicas.ready < min(least, replicas.desired):
            if self.gate.undo:
                raise UndoneError("somebody asked to return")
            if replicas.current.crashes:
                raise WorseError(f"{name}: cannot be started: {replicas.current.last_words}")
            await asyncio.sleep(LOOK)
        self._say(f"{name}: {replicas.ready} ready")

    async def _move(self, name: str) -> None:
        new = self.new.by_name[name]
        deployed = self._deployments[name]
        terms = self._terms(new)
        self._say(f"{name}: starting one new replica beside {deployed.replicas.ready} that serve")
        deployed.replicas.begin(new)
        self._moving = Move(deployed, terms, self.gate, self._say)
        await self._moving.forward()
        self._moved.append(name)
        self._moving = None

    def _terms(self, new: Blueprint) -> Terms:
        own = new.deployment.rollout
        watch = own.watch if self._watch is None else self._watch
        return Terms(own, self.new.slo(new.name), watch if self._judged else 0.0, self._judged)

    async def _finish(self, deployed: Deployed) -> None:
        """Return when nothing waits for the deployment, or nothing may wait any longer."""
        known = time.monotonic() + _SETTLE
        limit = known + deployed.replicas.blueprint.deployment.queue.max_wait
        while time.monotonic() < limit:
            demand = deployed.replicas.demand
            if demand and deployed.heard > known and not demand.held + demand.queued:
                return
            await asyncio.sleep(LOOK)

    async def _remove(self, name: str) -> None:
        """Let the deployment's running requests end, stop its replicas, and forget it."""
        self._say(f"{name}: draining and stopping, as it is not in the file")
        await self._deployments.rest([name])
        replicas = self._deployments[name].replicas
        replicas.close(Urgency.DRAIN)
        await replicas.closed()
        self._deployments.forget(name)
        self._say(f"{name}: gone")

    # The way back.

    async def _return(self) -> None:
        if self._moving:
            await self._moving.back()
        for name in reversed(self._moved):
            await self._move_back(name)
        for name in reversed(self._added):
            await self._remove(name)

    async def _move_back(self, name: str) -> None:
        """Roll back a deployment that was new already; the old is known, so nothing is judged."""
        old = self.old.by_name[name]
        deployed = self._deployments[name]
        deployed.replicas.begin(old)
        terms = Terms(old.deployment.rollout, self.old.slo(name), watch=0.0, judged=False)
        await Move(deployed, terms, Gate(), self._say).forward()
