"""All replicas of one deployment: as many as desired, restarted with patience.

`reconcile.py` says what is missing or too much, `restarts.py` when a start is allowed; this carries
it out. `autoscale.py` sets how many; during a rollout `rollout.py` shares that number between two
revisions (`revision.py`). `deployments.py` connects all of them and the gateway.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from headrace.gateway import control
from headrace.local import reconcile, views
from headrace.local.blueprint import Blueprint
from headrace.local.outcome import Outcome
from headrace.local.recording import Opening
from headrace.local.replica import Replica, Site
from headrace.local.revision import Revision
from headrace.local.stopping import Urgency
from headrace.view.events import Kind, event
from headrace.view.states import State
from headrace.view.status import DeploymentStatus

_CLASHES = 3
"""Ports lost to others in a row that count as bad luck."""
_ACTIVE = {State.STARTING, State.PROBING, State.READY}


class ReplicaSet:
    """Keeps `desired` replicas; `tell` gets the gateway's view of them after each change.

    `coming` is the new revision while a rollout is under way.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        site: Site,
        tasks: asyncio.TaskGroup,
        tell: Callable[[control.Replicas], None],
    ) -> None:
        self.current = Revision(blueprint)
        self.coming: Revision | None = None
        self.desired = 0
        self.demand: control.Demand | None = None
        self.ever_ready = False
        self.closing = False
        self._site, self._tasks, self._tell = site, tasks, tell
        self._replicas: dict[int, Replica] = {}
        self._revisions: dict[int, Revision] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._starts: dict[int, int] = {}
        self._openings: dict[int, Opening] = {}
        self._clashes = 0
        self._timer: asyncio.TimerHandle | None = None

    # What others ask of it.

    def scale(self, desired: int) -> None:
        """Set how many replicas there should be; a rollout under way shares them out."""
        self.desired = desired
        if self.coming is None:
            self.current.wanted = desired
        self._reconcile()

    def retry(self) -> None:
        """Forget all crashes and try again now."""
        for revision in self.revisions:
            revision.retry()
        self._reconcile()

    def hear(self, demand: control.Demand) -> None:
        """Take the gateway's latest word about work in flight."""
        self.demand = demand
        for replica in self._replicas.values():
            replica.flight.tell(demand.replicas.get(replica.id, 0))

    def suspect(self, replica_id: str, what: str) -> None:
        """Have a replica looked at that the gateway saw fail; "" is a word about all of them."""
        if not replica_id:
            self._emit("note", self.blueprint.name, f"the gateway says: {what}")
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

    # What a rollout asks of it.

    def begin(self, blueprint: Blueprint) -> None:
        """Let a new revision stand beside the current one; `share` says how many of each."""
        self.coming = Revision(blueprint)

    def share(self, current: int, coming: int) -> None:
        """Set how many replicas of each revision there should be."""
        if self.coming and (self.current.wanted, self.coming.wanted) != (current, coming):
            self.current.wanted, self.coming.wanted = current, coming
            self._reconcile()

    def promote(self) -> None:
        """End the rollout: what was coming is all there is."""
        if self.coming:
            self.current = self.coming
        self.drop()

    def drop(self) -> None:
        """End the rollout: what was current is all there is."""
        self.coming = None
        self.scale(self.desired)

    def adopt(self, blueprint: Blueprint) -> None:
        """Take a blueprint that differs in nothing that a running replica would notice."""
        self.current.blueprint = blueprint
        for replica in self.of(self.current):
            replica.adopt(blueprint)

    def of(self, revision: Revision) -> list[Replica]:
        """Return the replicas of a revision, draining ones included, by slot."""
        slots = sorted(self._replicas)
        return [self._replicas[slot] for slot in slots if self._revisions[slot] is revision]

    # What there is.

    @property
    def blueprint(self) -> Blueprint:
        """What its replicas are started from, outside of rollouts."""
        return self.current.blueprint

    @property
    def revisions(self) -> list[Revision]:
        """The current revision, and the coming one if there is one."""
        return [self.current, *([self.coming] if self.coming else [])]

    @property
    def given_up(self) -> bool:
        """Whether nothing of it starts any more."""
        return all(revision.restarts.given_up for revision in self.revisions)

    @property
    def present(self) -> int:
        """Replicas whose process is there."""
        return len(self._replicas)

    @property
    def ready(self) -> int:
        """Replicas that serve."""
        return sum(replica.state == State.READY for replica in self._replicas.values())

    @property
    def busy(self) -> int:
        """Replicas that have requests in flight."""
        return sum(replica.flight.count > 0 for replica in self._replicas.values())

    # Carrying out the plan.

    def _reconcile(self) -> None:
        if self.closing:
            return
        waits = [self._reconcile_one(revision) for revision in self.revisions]
        self._wake_in(min(waits))
        self._changed()

    def _reconcile_one(self, revision: Revision) -> float:
        """Start and stop what must be; return in how many seconds to look again."""
        now = time.monotonic()
        seen = [_seen(replica, revision) for replica in self.of(revision)]
        may_start = revision.restarts.may_start(now)
        plan = reconcile.plan(
            revision.wanted, seen, may_start=may_start, taken=self._replicas.keys()
        )
        for slot in plan.start:
            self._start(slot, revision)
        for slot in plan.stop:
            self._replicas[slot].patience.lose(Urgency.DRAIN)
        active = sum(replica.state in _ACTIVE for replica in self.of(revision))
        waits = active < revision.wanted and not revision.restarts.given_up
        return max(revision.restarts.not_before - now, 0.05) if waits else math.inf

    def _wake_in(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        if seconds < math.inf:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._reconcile)

    def _start(self, slot: int, revision: Revision) -> None:
        replica = Replica(
            revision.blueprint, slot, self._site, self._changed, lambda: self.ready > 0
        )
        self._replicas[slot], self._revisions[slot] = replica, revision
        revision.proven.discard(slot)
        self._starts[slot] = self._starts.get(slot, 0) + 1
        self._openings[slot] = self._site.starts.begin(
            revision.blueprint, replica.id, restart=self._starts[slot] > 1
        )
        life = self._tasks.create_task(self._keep(replica, revision), name=replica.id)
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _keep(self, replica: Replica, revision: Revision) -> None:
        try:
            outcome = await replica.live()
        finally:
            del self._replicas[replica.slot]
        if opening := self._openings.pop(replica.slot, None):  # it never got ready
            opening.ended(replica.phases, outcome)
        self._ended(replica, revision, outcome)
        self._reconcile()
        self._changed()

    def _ended(self, replica: Replica, revision: Revision, outcome: Outcome) -> None:
        if outcome.how == "stopped":
            self._emit("gone", replica.id, "stopped")
        elif outcome.how == "clash" and self._clashes < _CLASHES:
            self._clashes += 1
            self._emit("note", replica.id, f"port {replica.port} was taken first; trying another")
        else:
            revision.crashed(outcome)
            self._tell_crash(replica, revision, outcome)

    def _tell_crash(self, replica: Replica, revision: Revision, outcome: Outcome) -> None:
        words = outcome.words
        if revision.restarts.given_up:
            words = _crash_loop(revision.blueprint.name, words)
        elif revision is not self.coming:
            wait = revision.restarts.not_before - time.monotonic()
            words = f"{words}; starting again in {wait:.0f} s"
        kind: Kind = "gave-up" if revision.restarts.given_up else "crashed"
        self._site.emit(event(kind, replica.id, words, told=outcome.told))

    # Telling others.

    def _changed(self) -> None:
        """Note what got ready, and tell the gateway."""
        for slot, replica in self._replicas.items():
            if replica.state == State.READY:
                self._note_ready(replica, self._revisions[slot])
        self._tell(self.message())

    def _note_ready(self, replica: Replica, revision: Revision) -> None:
        self.ever_ready = True
        self._clashes = 0
        revision.ready()
        if opening := self._openings.pop(replica.slot, None):
            opening.ready(replica.phases)

    def calm(self) -> None:
        """Forget crashes that were followed by long health; called from time to time."""
        for revision in self.revisions:
            revision.calm()

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
            restarts=self.current.restarts,
            crashes=self.current.crashes,
            last_words=self.current.last_words,
            startup=self._site.starts.lead(self.blueprint),
            figures=self._site.starts.figures(self.blueprint),
            starts=self._starts,
        )

    def _emit(self, kind: Kind, subject: str, text: str) -> None:
        self._site.emit(event(kind, subject, text))


def _seen(replica: Replica, revision: Revision) -> reconcile.Seen:
    """Return the replica for the plan; one that was told to stop counts as stopping already."""
    told = replica.patience.urgency > Urgency.NONE and replica.state in _ACTIVE
    return reconcile.Seen(
        slot=replica.slot,
        state=State.STOPPING if told else replica.state,
        in_flight=replica.flight.count,
        proven=replica.slot in revision.proven,
    )


def _crash_loop(deployment: str, words: str) -> str:
    return (
        f"{words}\nIt keeps failing, so Headrace stopped trying. When the cause is gone: "
        f"headrace scale {deployment} auto"
    )
