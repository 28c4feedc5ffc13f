"""How many replicas a deployment should have now, and why: both published loops, one clock.

The caller observes, calls `step` as often as it likes, does what the decision says, logs it, and
carries the state to the next call. The HPA's loop (`hpa`) runs every `sync_period`, KEDA's (`keda`)
every `polling_interval`; `activated` is KEDA's short cut for work that arrives at a sleeping
deployment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from headrace.scaling import hpa, keda, reasons
from headrace.scaling.history import History
from headrace.scaling.keda import Activity
from headrace.scaling.policy import Policy
from headrace.scaling.signals import Observation, read


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What both loops remember; times in seconds.

    `spec` is the count asked for, the target's spec.replicas: a person who scales by hand replaces
    it.
    """

    spec: int
    activity: Activity
    history: History = field(default_factory=History)
    last_sync: float | None = None
    last_poll: float | None = None


def start(policy: Policy, now: float, spec: int | None = None) -> State:
    """Return the state of a policy created at `now` (seconds) over `spec` replicas; default: min.

    With min 0 and replicas that already run, KEDA goes to 0 at the first idle poll after
    `initial_cooldown`.
    """
    return State(spec=policy.min if spec is None else spec, activity=Activity(created=now))


Author = Literal["hpa", "keda", "push", "pause", "nobody"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`desired` replicas, what it was `before`, who says so, why, and the state to carry on."""

    desired: int
    changed: bool
    before: int
    by: Author
    reason: str
    inputs: Observation
    state: State

    def entry(self) -> dict[str, Any]:
        """Return the decision without its state, as JSON types, for the decision log."""
        fields = asdict(self)
        del fields["state"]
        return fields


def step(policy: Policy, state: State, seen: Observation) -> Decision:
    """Return what the loops that are due at `seen.now` decide; nothing changes while none is due.

    When both are due the HPA goes first, so that it sees replicas that KEDA woke only at its next
    sync, as in a cluster, and KEDA has the last word about 0.
    """
    if policy.paused_at is not None:
        return _paused(state, seen, policy.paused_at)
    synced = polled = None
    if _due(state.last_sync, policy.sync_period, seen.now):
        synced = _sync(policy, state, seen)
        state = synced.state
    if _due(state.last_poll, policy.polling_interval, seen.now):
        polled = _poll(policy, state, seen)
    return _joined(synced, polled) or _resting(policy, state, seen)


def activated(policy: Policy, state: State, seen: Observation) -> Decision:
    """Return what KEDA decides when work arrives (external-push): it wakes without waiting to poll.

    Work at or below the activation wakes nothing. Calling it for every arrival is fine, and keeps
    a burst that drains between two polls from going unnoticed.
    """
    if policy.paused_at is not None:
        return _paused(state, seen, policy.paused_at)
    return _by_keda(policy, state, seen, keda.push, by="push")


def due(policy: Policy, state: State) -> float:
    """Return the time, in seconds, from which `step` has a loop to run."""
    if state.last_sync is None or state.last_poll is None:
        return state.activity.created
    return min(state.last_sync + policy.sync_period, state.last_poll + policy.polling_interval)


def _due(last: float | None, period: int, now: float) -> bool:
    return last is None or last + period <= now


def _sync(policy: Policy, state: State, seen: Observation) -> Decision:
    found = hpa.sync(
        policy,
        state.history,
        now=seen.now,
        spec=state.spec,
        replicas=seen.replicas,
        readings=read(policy.triggers, seen),
    )
    reason = reasons.of_sync(policy, state.spec, found)
    after = replace(state, spec=found.desired, history=found.history, last_sync=seen.now)
    return _decision(after, state.spec, seen, by="hpa", reason=reason)


def _poll(policy: Policy, state: State, seen: Observation) -> Decision:
    return _by_keda(policy, replace(state, last_poll=seen.now), seen, keda.poll, by="keda")


def _by_keda(
    policy: Policy, state: State, seen: Observation, loop: Callable[..., keda.Poll], *, by: Author
) -> Decision:
    readings = read(policy.triggers, seen)
    found = loop(
        policy,
        state.activity,
        now=seen.now,
        spec=state.spec,
        readings=readings,
        busy=bool(seen.running),
    )
    reason = reasons.of_poll(policy, state.spec, found, now=seen.now, readings=readings)
    after = replace(state, spec=found.desired, activity=found.activity)
    return _decision(after, state.spec, seen, by=by, reason=reason)


def _paused(state: State, seen: Observation, count: int) -> Decision:
    """Hold the count; KEDA deletes the HPA meanwhile, so its memory goes: both start afresh."""
    after = State(spec=count, activity=state.activity)
    return _decision(after, state.spec, seen, by="pause", reason=f"paused at {count}")


def _resting(policy: Policy, state: State, seen: Observation) -> Decision:
    reason = f"no loop is due before {due(policy, state):g} s"
    return _decision(state, state.spec, seen, by="nobody", reason=reason)


def _joined(synced: Decision | None, polled: Decision | None) -> Decision | None:
    """Return one decision for what one or both loops decided, in that order."""
    if synced is None or polled is None:
        return synced or polled
    before = synced.before
    if synced.changed and polled.changed:
        reason = f"{synced.reason}; then {polled.reason}"
        return replace(polled, before=before, changed=polled.desired != before, reason=reason)
    teller = synced if synced.changed or (before > 0 and not polled.changed) else polled
    return replace(teller, before=before, state=polled.state)


def _decision(after: State, before: int, seen: Observation, *, by: Author, reason: str) -> Decision:
    return Decision(
        desired=after.spec,
        changed=after.spec != before,
        before=before,
        by=by,
        reason=reason,
        inputs=seen,
        state=after,
    )
