"""KEDA's own loop: it wakes a deployment and puts it to sleep; everything between is the HPA's.

RequestScale in pkg/scaling/executor/scale_scaledobjects.go of KEDA 2. A missing metric never wakes
and never puts to sleep. That is what the source says, and what we hold to; a real KEDA 2.20 has
been seen to put a busy deployment with min 0 to sleep while its Prometheus was frozen. `busy` is
what a scaler may say beside its metrics: requests run, so this is not idle whatever the triggers
count. Ours says so here and in a cluster (`kubernetes/answers.py`); it keeps awake and never wakes.
`decide` runs this loop beside `hpa`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from headrace.scaling.policy import Policy
from headrace.scaling.signals import Reading

Found = Literal[
    "woken",
    "active",
    "busy",
    "partly_missing",
    "missing",
    "slept",
    "cooling",
    "below_min",
    "inactive",
]


@dataclass(frozen=True, slots=True)
class Activity:
    """When the policy was created and when it was last seen active (None: never), in seconds."""

    created: float
    last_active: float | None = None

    def rested(self, policy: Policy, now: float) -> bool:
        """Tell whether the cooldown is strictly over; before any activity, the initial cooldown."""
        if self.last_active is None:
            return self.created + policy.initial_cooldown < now
        return self.last_active + policy.cooldown < now


@dataclass(frozen=True, slots=True)
class Poll:
    """What a poll found and wants."""

    found: Found
    desired: int
    activity: Activity


def poll(
    policy: Policy,
    activity: Activity,
    *,
    now: float,
    spec: int,
    readings: tuple[Reading, ...],
    busy: bool = False,
) -> Poll:
    """Return what one poll at `now` (seconds) wants where `spec` replicas are asked for."""
    missing = any(reading.value is None for reading in readings)
    if any(reading.active for reading in readings):
        return _active(policy, activity, now, spec, missing=missing)
    if missing:
        return Poll("missing", spec, activity)
    if busy and _may_sleep(policy, spec):
        return Poll("busy", spec, replace(activity, last_active=now))
    return _inactive(policy, activity, now, spec)


def push(
    policy: Policy,
    activity: Activity,
    *,
    now: float,
    spec: int,
    readings: tuple[Reading, ...],
    busy: bool = False,
) -> Poll:
    """Return what the arrival of work at `now` (seconds) wants, without waiting for the next poll.

    This is a trigger of type external-push whose stream says "active"; it only ever wakes.
    """
    if any(reading.active for reading in readings):
        return _active(policy, activity, now, spec, missing=False)
    if busy and _may_sleep(policy, spec):
        return Poll("busy", spec, replace(activity, last_active=now))
    return Poll("inactive", spec, activity)


def _active(policy: Policy, activity: Activity, now: float, spec: int, *, missing: bool) -> Poll:
    refreshed = replace(activity, last_active=now)
    if spec == 0 or (policy.idle is not None and spec < policy.min):
        return Poll("woken", policy.awake_min, refreshed)
    if missing:  # the last activity stays old: the cooldown may be over once the metrics return
        return Poll("partly_missing", spec, activity)
    return Poll("active", spec, refreshed)


def _may_sleep(policy: Policy, spec: int) -> bool:
    return spec > _asleep(policy) and (policy.idle is not None or policy.min == 0)


def _asleep(policy: Policy) -> int:
    return policy.idle if policy.idle is not None else policy.min


def _inactive(policy: Policy, activity: Activity, now: float, spec: int) -> Poll:
    if _may_sleep(policy, spec):
        if activity.rested(policy, now):
            return Poll("slept", _asleep(policy), activity)
        return Poll("cooling", spec, activity)
    if policy.idle is None and spec < policy.min:
        return Poll("below_min", policy.min, activity)
    return Poll("inactive", spec, activity)
