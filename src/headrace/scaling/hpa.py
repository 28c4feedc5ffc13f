"""One sync of the HorizontalPodAutoscaler, for External metrics of type AverageValue.

The rules are those of Kubernetes 1.36,
pkg/controller/podautoscaler/{horizontal,replica_calculator}.go. It moves a deployment between 1 and
max; to and from 0 is `keda`'s. Limits per period are in `rates`, the memory in `history`; `decide`
runs both loops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from headrace.scaling.history import History
from headrace.scaling.policy import DEFAULT_DOWN_WINDOW, TOLERANCE, Behavior, Policy
from headrace.scaling.rates import default_up_limit, down_limit, up_limit
from headrace.scaling.signals import Reading


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one metric asks for; None: it is missing. `within` is its ratio if that is tolerated."""

    reading: Reading
    replicas: int | None
    within: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What a sync found. `raw` is the highest proposal, `stable` what the windows made of it.

    `limit` is how far the rates allow to go; the three count only where `found` is "metrics".
    """

    found: Literal["asleep", "above_max", "below_min", "missing", "metrics"]
    desired: int
    history: History
    proposals: tuple[Proposal, ...] = ()
    raw: int = 0
    stable: int = 0
    limit: int = 0


def sync(
    policy: Policy,
    history: History,
    *,
    now: float,
    spec: int,
    replicas: int,
    readings: tuple[Reading, ...],
) -> Sync:
    """Return what one sync at `now` (seconds) wants.

    `spec` is the count asked for so far, `replicas` the count that exists, starting ones included.
    """
    history = history.seeded(now, spec)
    if spec == 0:
        return Sync(found="asleep", desired=0, history=history)
    if spec > policy.max or spec < policy.awake_min:
        return _shortcut(policy, history, now, spec)
    proposals = tuple(propose(reading, replicas, policy.behavior) for reading in readings)
    raw = highest(proposals, spec)
    if raw is None:
        return Sync(found="missing", desired=spec, history=history, proposals=proposals)
    return _measured(policy, history, proposals, now=now, spec=spec, raw=raw)


def _shortcut(policy: Policy, history: History, now: float, spec: int) -> Sync:
    """Return to the bounds: no metric is read, no window and no rate holds."""
    desired = policy.max if spec > policy.max else policy.awake_min
    return Sync(
        found="above_max" if spec > policy.max else "below_min",
        desired=desired,
        history=history.scaled(now, spec, desired, policy.behavior),
    )


def _measured(
    policy: Policy,
    history: History,
    proposals: tuple[Proposal, ...],
    *,
    now: float,
    spec: int,
    raw: int,
) -> Sync:
    stable = stabilized(history, policy.behavior, now=now, spec=spec, raw=raw)
    limit = _limit(policy.behavior, history, now, spec, stable)
    desired = max(policy.awake_min, min(policy.max, _towards(stable, limit, spec)))
    history = history.recommended(now, raw, policy.behavior)
    return Sync(
        found="metrics",
        desired=desired,
        history=history.scaled(now, spec, desired, policy.behavior),
        proposals=proposals,
        raw=raw,
        stable=stable,
        limit=limit,
    )


def propose(reading: Reading, replicas: int, behavior: Behavior | None) -> Proposal:
    """Return what one metric asks for; both ends of the tolerance mean no change.

    GetExternalPerPodMetricReplicas: values are thousandths in whole numbers, and within the
    tolerance the answer is the number of existing replicas, not the number asked for.
    """
    if reading.value is None:
        return Proposal(reading, None)
    total, target = int(reading.value * 1000), int(reading.trigger.target * 1000)
    lowest = 1.0 - (behavior.down.tolerance if behavior else TOLERANCE)
    highest = 1.0 + (behavior.up.tolerance if behavior else TOLERANCE)
    if replicas > 0 and lowest <= (ratio := total / (target * replicas)) <= highest:
        return Proposal(reading, replicas, ratio)
    return Proposal(reading, math.ceil(total / target))


def highest(proposals: tuple[Proposal, ...], spec: int) -> int | None:
    """Return the highest proposal; None (keep) if all are missing, or some and the rest lower."""
    known = [proposal.replicas for proposal in proposals if proposal.replicas is not None]
    if not known or (len(known) < len(proposals) and max(known) < spec):
        return None
    return max(known)


def stabilized(
    history: History, behavior: Behavior | None, *, now: float, spec: int, raw: int
) -> int:
    """Return the recommendation after the windows.

    The lowest recent one bounds growth, the highest bounds shrinking. A recommendation exactly as
    old as the window counts without a behavior and does not with one.
    """
    past = history.recommendations
    if behavior is None:
        return max((raw, *(old.replicas for old in past if old.at >= now - DEFAULT_DOWN_WINDOW)))
    low = min((raw, *(old.replicas for old in past if old.at > now - behavior.up.window)))
    high = max((raw, *(old.replicas for old in past if old.at > now - behavior.down.window)))
    return min(max(spec, low), high)


def _limit(behavior: Behavior | None, history: History, now: float, spec: int, stable: int) -> int:
    """Return how far the rates allow to go from `spec` on the way to `stable`."""
    if stable > spec:
        return up_limit(behavior.up, history, now, spec) if behavior else default_up_limit(spec)
    if stable < spec and behavior:
        return down_limit(behavior.down, history, now, spec)
    return stable


def _towards(stable: int, limit: int, spec: int) -> int:
    return min(stable, limit) if stable > spec else max(stable, limit)
