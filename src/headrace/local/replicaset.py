"""All replicas of one deployment: as many as desired, restarted with patience.

`reconcile.py` says what is missing or too much, `restarts.py` when a start is allowed; this carries
it out. `autoscale.py` sets how many; `supervisor.py` connects the two and the gateway.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from headrace.gateway import control
from headrace.local import reconcile, views
from headrace.local.blueprint import Blueprint
from headrace.local.events import Kind, event
from headrace.local.outcome import Outcome
from headrace.local.replica import Replica, Site
from headrace.local.restarts import HEALTHY, Restarts
from headrace.local.states import State
from headrace.local.status import DeploymentStatus
from headrace.local.stopping import Urgency

_CLASHES = 3
"""Ports lost to others in a row that count as bad luck."""
_ACTIVE = {State.STARTING, State.PROBING, State.READY}


class ReplicaSet:
    """Keeps `desired` replicas; `tell` gets the gateway's view of them after each change."""

    def __init__(
        self,
        blueprint: Blueprint,
        site: Site,
        tasks: asyncio.TaskGroup,
        tell: Callable[[control.Replicas], None],
    ) -> None:
        self.blueprint = blueprint
        self.desired = 0
        self.demand: control.Demand | None = None
        self.restarts = Restarts()
        self.last_words = ""
        self.ever_ready = False
        self.crashes = 0
        self.closing = False
        self._site, self._tasks, self._tell = site, tasks, tell
        self._replicas: dict[int, Replica] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._starts: dict[int, int] = {}
        self._startup: float | None = None
        self._clashes = 0
        self._timer: asyncio.TimerHandle | None = None

    # What others ask of it.

    def scale(self, desired: int) -> None:
        """Set how many replicas there should be."""
        self.desired = desired
        self._reconcile()

    def retry(self) -> None:
        """Forget all crashes and try again now."""
        self.restarts = self.restarts.healthy()
        self._reconcile()

    def hear(self, demand: control.Demand) -> None:
        """Take the gateway's latest word about work in flight."""
        self.demand = demand
        for replica in self._replicas.values():
            replica.flight.tell(demand.replicas.get(replica.id, 0))

    def suspect(self, replica_id: str, what: str) -> None:
        """Have a replica looked at that the gateway saw fail."""
        for replica in self._replicas.values():
            if replica.id == replica_id:
                replica.suspect(what)

    def close(self, urgency: Urgency) -> None:
        """Stop all replicas and start no more; call again to hurry."""
        self.closing = True
        self.desired = 0
        for replica in self._replicas.values():
            replica.patience.lose(urgency)

    def close_unready(self) -> None:
        """Start no more, and stop what has no work yet."""
        self.closing = True
        for replica in self._replicas.values():
            if replica.state != State.READY:
                replica.patience.lose(Urgency.DRAIN)

    async def closed(self) -> None:
        """Return when nothing is left of any replica."""
        if self._lives:
            await asyncio.wait(self._lives)

    @property
    def active(self) -> int:
        """Replicas that start or serve."""
        return sum(replica.state in _ACTIVE for replica in self._replicas.values())

    @property
    def ready(self) -> int:
        """Replicas that serve."""
        return sum(replica.state == State.READY for replica in self._replicas.values())

    # Carrying out the plan.

    def _reconcile(self) -> None:
        if self.closing:
            return
        now = time.monotonic()
        seen = [_seen(replica) for replica in self._replicas.values()]
        plan = reconcile.plan(self.desired, seen, may_start=self.restarts.may_start(now))
        for slot in plan.start:
            self._start(slot)
        for slot in plan.stop:
            self._replicas[slot].patience.lose(Urgency.DRAIN)
        if self.active < self.desired and not self.restarts.given_up:
            self._wake_at(self.restarts.not_before - now)
        self._changed()

    def _wake_at(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.05), self._reconcile)

    def _start(self, slot: int) -> None:
        replica = Replica(self.blueprint, slot, self._site, self._changed)
        self._replicas[slot] = replica
        self._starts[slot] = self._starts.get(slot, 0) + 1
        life = self._tasks.create_task(self._keep(replica), name=replica.id)
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _keep(self, replica: Replica) -> None:
        try:
            outcome = await replica.live()
        finally:
            del self._replicas[replica.slot]
        self._ended(replica, outcome)
        self._reconcile()
        self._changed()

    def _ended(self, replica: Replica, outcome: Outcome) -> None:
        if outcome.how == "stopped":
            self._emit("gone", replica.id, "stopped")
        elif outcome.how == "clash" and self._clashes < _CLASHES:
            self._clashes += 1
            self._emit("note", replica.id, f"port {replica.port} was taken first; trying another")
        else:
            self._count_crash(replica, outcome)

    def _count_crash(self, replica: Replica, outcome: Outcome) -> None:
        now = time.monotonic()
        self.crashes += 1
        self.last_words = outcome.words
        chance = random.random()  # noqa: S311 - it spreads restarts, it guards nothing
        self.restarts = self.restarts.crashed(now, was_ready=outcome.was_ready, chance=chance)
        if self.restarts.given_up:
            self._emit("gave-up", replica.id, _crash_loop(self.blueprint.name, outcome.words))
        else:
            wait = self.restarts.not_before - now
            self._emit("crashed", replica.id, f"{outcome.words}; starting again in {wait:.0f} s")

    # Telling others.

    def _changed(self) -> None:
        """Note what got ready, and tell the gateway."""
        for replica in self._replicas.values():
            if replica.state == State.READY:
                self._note_ready(replica)
        self._tell(self.message())

    def _note_ready(self, replica: Replica) -> None:
        self.ever_ready = True
        self._clashes = 0
        if self.restarts.unready:
            self.restarts = self.restarts.ready()
        self._startup = sum(phase.seconds for phase in replica.phases.done) or self._startup

    def calm(self) -> None:
        """Forget crashes that were followed by long health; called from time to time."""
        times = self.restarts.times
        if times and not self.restarts.given_up and time.monotonic() - times[-1] > HEALTHY:
            self.restarts = self.restarts.healthy()

    def message(self) -> control.Replicas:
        """Return what the gateway should know."""
        return views.for_gateway(self.blueprint, self._known(), self._replicas.values())

    def snapshot(self, *, why: str, paused: bool) -> DeploymentStatus:
        """Return the deployment as `headrace status` shows it."""
        replicas = [self._replicas[slot] for slot in sorted(self._replicas)]
        rule = views.Rule(desired=self.desired, why=why, paused=paused)
        return views.for_status(self.blueprint, rule, self._known(), self.demand, replicas)

    def _known(self) -> views.Known:
        return views.Known(
            restarts=self.restarts,
            crashes=self.crashes,
            last_words=self.last_words,
            startup=self._startup,
            starts=self._starts,
        )

    def _emit(self, kind: Kind, subject: str, text: str) -> None:
        self._site.emit(event(kind, subject, text))


def _seen(replica: Replica) -> reconcile.Seen:
    """Return the replica for the plan; one that was told to stop counts as stopping already."""
    told = replica.patience.urgency > Urgency.NONE and replica.state in _ACTIVE
    state = State.STOPPING if told else replica.state
    return reconcile.Seen(replica.slot, state, replica.flight.count)


def _crash_loop(deployment: str, words: str) -> str:
    return (
        f"{words}\nIt keeps failing, so Headrace stopped trying. When the cause is gone: "
        f"headrace scale {deployment} auto"
    )
