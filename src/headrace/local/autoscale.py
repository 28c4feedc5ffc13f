"""Decides how many replicas a deployment has: feeds the gateway's demand to the published rules.

`headrace.scaling` is the policy; this has its clock, its log and the pause button. `supervisor.py`
hands the result to `replicaset.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headrace.fleet.types import Scaling
from headrace.gateway.control import Demand
from headrace.local.journal import Journal
from headrace.scaling import decide
from headrace.scaling.decide import Decision
from headrace.scaling.from_fleet import policy_of
from headrace.scaling.policy import Policy, Trigger
from headrace.scaling.signals import Observation

_SHORTEST, _LONGEST = 0.05, 1.0
"""Seconds between two looks."""


def initial_count(scaling: Scaling) -> int:
    """Return the replicas to begin with; at min 0 one proves that it works, then may rest."""
    return max(scaling.min, 1) if scaling.initial is None else scaling.initial


def observe(demand: Demand | None, desired: int, ready: int, now: float) -> Observation:
    """Return what the rules look at.

    `replicas` is the number asked for, not the number alive: one that crashed is being started
    again, and nothing about the load has changed.
    """
    return Observation(
        now=now,
        held=demand.held if demand else None,
        queued=demand.queued if demand else None,
        running=demand.running if demand else None,
        replicas=max(desired, ready),
        ready=ready,
        routes=demand.routes if demand else None,
    )


class Autoscaler:
    """The count of one deployment over time; `apply` is called with each new count."""

    def __init__(
        self,
        name: str,
        scaling: Scaling,
        apply: Callable[[Decision], None],
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.why = "the count to begin with"
        self._name, self._apply, self._journal, self._clock = name, apply, journal, clock
        self._policy = policy_of(scaling) or _fixed(scaling)
        self._state = decide.start(self._policy, clock(), initial_count(scaling))
        self._proven = False
        self._logged = ""
        self._demand: Demand | None = None
        self._ready = 0

    @property
    def desired(self) -> int:
        """Replicas there should be."""
        return self._state.spec

    @property
    def paused(self) -> bool:
        """Whether a person has fixed the count."""
        return self._policy.paused_at is not None

    def pause(self, replicas: int | None) -> None:
        """Fix the count; None hands it back to the rules."""
        self._policy = replace(self._policy, paused_at=replicas)
        self.step()

    def follow(self, scaling: Scaling) -> None:
        """Go by other rules from now on; the count stays until they say otherwise."""
        policy = policy_of(scaling) or _fixed(scaling)
        self._policy = replace(policy, paused_at=self._policy.paused_at)
        self.step()

    def hear(self, demand: Demand | None, ready: int) -> None:
        """Take the latest demand (None: unknown) and wake at once if work waits for nobody.

        Work that comes and goes between two polls counts as activity, too.
        """
        self._demand, self._ready = demand, ready
        self._proven |= ready > 0
        if demand and (self.desired > 0 or demand.held + demand.queued > 0):
            found = decide.activated(self._policy, self._state, self._seen())
            if found.changed or self.desired == 0:
                self._take(found)
            else:
                self._state = found.state

    def step(self) -> None:
        """Let the rules that are due decide; the first rest is counted from the first ready one."""
        if not self._proven:
            activity = replace(self._state.activity, created=self._clock())
            self._state = replace(self._state, activity=activity)
        self._take(decide.step(self._policy, self._state, self._seen()))

    async def run(self) -> None:
        """Step whenever a rule is due, for ever."""
        while True:
            self.step()
            wait = decide.due(self._policy, self._state) - self._clock()
            await asyncio.sleep(_LONGEST if self.paused else min(max(wait, _SHORTEST), _LONGEST))

    def _seen(self) -> Observation:
        return observe(self._demand, self.desired, self._ready, self._clock())

    def _take(self, decision: Decision) -> None:
        if decision.by in ("hpa", "keda") and _unmoved(self._policy):
            decision = replace(decision, reason=f"the count is fixed at {self._policy.min}")
        self._state = decision.state
        if decision.by != "nobody":
            self.why = decision.reason
            self._log(decision)
        if decision.changed:
            self._apply(decision)

    def _log(self, decision: Decision) -> None:
        """Write what is new: a change, or another kind of reason than last time."""
        kind = "".join(letter for letter in decision.reason if not letter.isdigit())
        if decision.changed or kind != self._logged:
            self._logged = kind
            self._journal.write(_entry(self._name, decision))


def _entry(deployment: str, decision: Decision) -> dict[str, Any]:
    return {"at": round(time.time(), 3), "deployment": deployment, **decision.entry()}


_NEVER = Trigger("demand", 1e9, activation=1e9)
"""A trigger that is never reached."""


def _fixed(scaling: Scaling) -> Policy:
    """Return a policy that holds the minimum."""
    return Policy(min=scaling.min, max=scaling.max, triggers=(_NEVER,))


def _unmoved(policy: Policy) -> bool:
    return policy.triggers == (_NEVER,)
