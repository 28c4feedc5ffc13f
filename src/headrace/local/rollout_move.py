"""Moves one deployment from its current revision to the coming one, or back.

`rollout_policy.py` says how many of each there should be, `rollout_judge.py` whether the new ones
are good enough; this looks, tells, and does it. `rollout.py` moves one deployment after another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from headrace.fleet.routes import Slo
from headrace.fleet.types import Rollout
from headrace.local import rollout_judge as judge
from headrace.local import rollout_policy as policy
from headrace.local.deployments import Deployed
from headrace.local.errors import LocalError
from headrace.local.replica import Replica
from headrace.local.revision import Revision
from headrace.local.rollout_policy import Counts, Seen, Shift, Side
from headrace.local.stopping import Urgency
from headrace.view.states import State

LOOK = 0.1
"""Seconds between two looks at a deployment that moves."""
_ACTIVE = {State.STARTING, State.PROBING, State.READY}

Say = Callable[[str], None]


class WorseError(LocalError):
    """The new replicas are worse than the old ones; the message says how."""


class UndoneError(LocalError):
    """Somebody asked to return."""


class Gate:
    """Where a person stands in the way of the next step."""

    def __init__(self) -> None:
        self.paused = False
        self.undo = False


@dataclass(frozen=True)
class Terms:
    """By what the new replicas are judged; `watch` in seconds, `judged` False: by nothing."""

    rollout: Rollout
    slo: Slo
    watch: float
    judged: bool = True


class Move:
    """One deployment on its way; its replica set has begun a coming revision."""

    def __init__(self, deployed: Deployed, terms: Terms, gate: Gate, say: Say) -> None:
        self._deployed, self._terms, self._gate, self._say = deployed, terms, gate, say
        self._replicas = deployed.replicas
        self._name = deployed.replicas.blueprint.name
        self._told = ""

    async def forward(self) -> None:
        """Return when all replicas are of the coming revision; WorseError, UndoneError.

        After an error both revisions stand as they were: call `back`.
        """
        shift = Shift(since=time.monotonic())
        while shift.stage != "done":
            coming, seen = self._coming(), self._look(back=False)
            self._replicas.share(*_pair(policy.wanted(shift, seen)))
            if not self._gate.paused:
                self._check(coming)
                shift = self._advance(shift, seen)
            await asyncio.sleep(LOOK)
        self._replicas.promote()

    async def back(self) -> None:
        """Return when all replicas are of the current revision again; never gives up."""
        shift = policy.returning(self._look(back=True), time.monotonic())
        while shift.stage != "done":
            seen = self._look(back=True)
            counts = policy.wanted(shift, seen)
            self._replicas.share(counts.coming, counts.leaving)
            shift = policy.advance(shift, seen, time.monotonic(), 0.0)
            self._tell_return(seen)
            await asyncio.sleep(LOOK)
        self._replicas.drop()

    # Looking.

    def _coming(self) -> Revision:
        if self._replicas.coming is None:
            raise AssertionError(f"{self._name} has no coming revision")
        return self._replicas.coming

    def _look(self, *, back: bool) -> Seen:
        old, new = self._side(self._replicas.current), self._side(self._coming())
        leaving, coming = (new, old) if back else (old, new)
        return Seen(self._replicas.desired, leaving, coming)

    def _side(self, revision: Revision) -> Side:
        replicas = self._replicas.of(revision)
        active = [one for one in replicas if one.state in _ACTIVE and not _told_to_stop(one)]
        ready = sum(one.state == State.READY for one in active)
        return Side(ready, len(active), len(replicas))

    # Judging.

    def _check(self, coming: Revision) -> None:
        if self._gate.undo:
            raise UndoneError("somebody asked to return")
        if not self._terms.judged:
            return
        if coming.crashes:
            raise WorseError(f"{self._name}: a new replica failed: {coming.last_words}")
        new, old = self._samples()
        why = judge.failing(new, old, self._terms.rollout)
        if why:
            raise WorseError(f"{self._name}: the new replicas fail more: {why}")

    def _samples(self) -> tuple[judge.Sample, judge.Sample]:
        """Return what the gateway saw of the new replica under watch, and of the old ones."""
        coming = self._coming()
        watched = [one for one in self._replicas.of(coming) if one.slot not in coming.proven]
        new = watched or self._replicas.of(coming)
        return self._sample(new), self._sample(self._replicas.of(self._replicas.current))

    def _sample(self, replicas: list[Replica]) -> judge.Sample:
        stats = self._deployed.stats
        return judge.pooled(stats[one.id] for one in replicas if one.id in stats)

    def _advance(self, shift: Shift, seen: Seen) -> Shift:
        after = policy.advance(shift, seen, time.monotonic(), self._terms.watch)
        if after.stage == shift.stage:
            return after
        if after.stage == "drain":
            self._passed()
        self._tell_step(after, seen)
        return after

    def _passed(self) -> None:
        """Trust the new ones, unless they are slower than the old ones."""
        coming, (new, old) = self._coming(), self._samples()
        if self._terms.judged and self._terms.watch > 0:
            why = judge.slower(new, old, self._terms.rollout, self._terms.slo)
            if why:
                raise WorseError(f"{self._name}: the new replicas are slower: {why}")
            self._say(f"{self._name}: {self._watched()} passed: {judge.comparison(new, old)}")
        ready = (one for one in self._replicas.of(coming) if one.state == State.READY)
        coming.proven |= {one.slot for one in ready}

    # Telling.

    def _watched(self) -> str:
        coming = self._coming()
        names = [one.id for one in self._replicas.of(coming) if one.slot not in coming.proven]
        return ", ".join(names) or "nobody"

    def _tell_step(self, shift: Shift, seen: Seen) -> None:
        count = f"{self._name}: {seen.coming.ready} of {max(seen.desired, 1)} is new"
        match shift.stage:
            case "watch":
                self._say(f"{count}; watching {self._watched()} for {self._terms.watch:g} s")
            case "surge":
                self._say(f"{count}; starting the next")
            case "drain" if seen.leaving.present:
                self._say(f"{count}; draining an old one")
            case "done":
                self._say(f"{self._name}: all replicas are new")
            case _:
                pass

    def _tell_return(self, seen: Seen) -> None:
        text = f"{self._name}: {seen.coming.ready} of {seen.desired} old ones serve"
        current = self._replicas.current
        if current.restarts.given_up:
            text += (
                f"; they cannot be started: {current.last_words}; when the cause is gone: "
                f"headrace scale {self._name} auto"
            )
        elif seen.leaving.present:
            text += f"; new ones that leave: {seen.leaving.present}"
        if text != self._told:
            self._told = text
            self._say(text)


def _pair(counts: Counts) -> tuple[int, int]:
    return counts.leaving, counts.coming


def _told_to_stop(replica: Replica) -> bool:
    return replica.patience.urgency > Urgency.NONE
