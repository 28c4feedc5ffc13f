"""What a loop found, in a sentence with its numbers, for the person who reads the decision log.

`hpa` and `keda` return data; only this file turns it into words. `decide` puts the words into the
decision.
"""

from __future__ import annotations

from headrace.scaling.hpa import Proposal, Sync
from headrace.scaling.keda import Activity, Poll
from headrace.scaling.policy import DEFAULT_DOWN_WINDOW, Policy, RatePolicy, Rules
from headrace.scaling.signals import Reading


def of_sync(policy: Policy, spec: int, found: Sync) -> str:
    """Return why an HPA sync wants what it wants, having found `spec` replicas asked for."""
    match found.found:
        case "asleep":
            return "0 replicas: the HPA does nothing until KEDA wakes the deployment"
        case "above_max":
            return f"{_replicas(spec)} asked for, but max is {policy.max}"
        case "below_min":
            return f"{_replicas(spec)} asked for, but min is {policy.min}"
        case "missing":
            parts = [_proposal(proposal) for proposal in found.proposals]
            return "; ".join([*parts, f"a missing number lowers nothing: keep {_replicas(spec)}"])
        case "metrics":
            parts = [_proposal(proposal) for proposal in found.proposals]
            return "; ".join([*parts, *_bounds(policy, spec, found)])


def _proposal(proposal: Proposal) -> str:
    reading, wanted = proposal.reading, proposal.replicas
    if wanted is None:
        return f"{reading.trigger} is unknown"
    target = f"target {reading.trigger.target:.12g} per replica"
    if proposal.within is None:
        return f"{_value(reading)} / {target} = {_replicas(wanted)}"
    ratio = f"{proposal.within:.3g}"
    return f"{_value(reading)} is {ratio} of {target} x {_replicas(wanted)}, within the tolerance"


def _bounds(policy: Policy, spec: int, found: Sync) -> list[str]:
    parts = []
    if found.stable != found.raw:
        way = "up" if found.raw > found.stable else "down"
        parts.append(f"scale-{way} waits: over {_window(policy, way)} s it may be {found.stable}")
    if found.stable > policy.max:
        parts.append(f"max is {policy.max}")
    if found.stable < policy.awake_min:
        parts.append(f"min is {policy.min}" if policy.min else "only KEDA goes below 1")
    if found.stable > spec and found.limit < found.stable:
        parts.append(_rate(policy, "up", found.limit))
    if found.stable < spec and found.limit > found.stable:
        parts.append(_rate(policy, "down", found.limit))
    return parts


def _window(policy: Policy, way: str) -> int:
    behavior = policy.behavior
    if behavior is None:
        return DEFAULT_DOWN_WINDOW
    return behavior.up.window if way == "up" else behavior.down.window


def _rate(policy: Policy, way: str, limit: int) -> str:
    behavior = policy.behavior
    if behavior is None:
        return f"scale-{way} allowed to {limit} in one step"
    rules = behavior.up if way == "up" else behavior.down
    if rules.select == "disabled":
        return f"scale-{way} is disabled"
    return f"scale-{way} allowed {_allowances(rules, '+' if way == 'up' else '-')}"


def _allowances(rules: Rules, sign: str) -> str:
    each = [_allowance(policy, sign) for policy in rules.policies]
    if len(each) == 1:
        return each[0]
    which = "smallest" if rules.select == "min" else "largest"
    return f"the {which} of {', '.join(each)}"


def _allowance(policy: RatePolicy, sign: str) -> str:
    unit = "" if policy.kind == "replicas" else " %"
    return f"{sign}{policy.value}{unit} per {policy.period} s"


def of_poll(
    policy: Policy, spec: int, found: Poll, *, now: float, readings: tuple[Reading, ...]
) -> str:
    """Return why a KEDA poll at `now` (seconds) wants what it wants where `spec` were asked for."""
    seen = ", ".join(_activation(reading) for reading in readings)
    match found.found:
        case "woken":
            return f"{seen}: wake to {_replicas(found.desired)}"
        case "active" | "inactive":
            return seen
        case "busy":
            return f"{seen}; but requests run: keep {_replicas(spec)}"
        case "missing" | "partly_missing":
            return f"{seen}; a missing number neither wakes nor puts to sleep"
        case "cooling" | "slept":
            return f"{seen}; {_rest(policy, found.activity, now)} {_end(spec, found)}"
        case "below_min":
            return f"{seen}; {_replicas(spec)} asked for, but min is {policy.min}"


def _activation(reading: Reading) -> str:
    if reading.value is None:
        return f"{reading.trigger} is unknown"
    relation = "above" if reading.active else "not above"
    return f"{_value(reading)} {relation} activation {reading.trigger.activation:.12g}"


def _rest(policy: Policy, activity: Activity, now: float) -> str:
    if activity.last_active is None:
        return f"never active, initial cooldown of {policy.initial_cooldown} s"
    return f"inactive for {now - activity.last_active:.0f} s, cooldown of {policy.cooldown} s"


def _end(spec: int, found: Poll) -> str:
    over = found.found == "slept"
    return f"over: {spec} to {found.desired}" if over else f"not over: keep {_replicas(spec)}"


def _value(reading: Reading) -> str:
    return f"{reading.value:.12g} {reading.trigger}"


def _replicas(count: int) -> str:
    return f"{count} replica" if count == 1 else f"{count} replicas"
