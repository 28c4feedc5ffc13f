"""How far the HPA may go in one sync, given what it did in the periods of its rate policies.

calculateScaleUpLimitWithScalingRules and its sisters in pkg/controller/podautoscaler/horizontal.go
of Kubernetes, floating point included: percentages round up on the way up and towards zero on the
way down. `hpa` applies the limits.
"""

from __future__ import annotations

import math

from headrace.scaling.history import History, Stamped
from headrace.scaling.policy import RatePolicy, Rules


def default_up_limit(spec: int) -> int:
    """Return the most replicas that an HPA without a behavior may reach in one sync from `spec`."""
    return max(2 * spec, 4)


def up_limit(rules: Rules, history: History, now: float, spec: int) -> int:
    """Return the most replicas allowed at `now`, in seconds; never below the current `spec`."""
    if rules.select == "disabled":
        return spec
    choose = min if rules.select == "min" else max
    return max(spec, choose(_raised(p, _start(p, history, now, spec)) for p in rules.policies))


def down_limit(rules: Rules, history: History, now: float, spec: int) -> int:
    """Return the fewest replicas allowed at `now`, in seconds; never above the current `spec`."""
    if rules.select == "disabled":
        return spec
    choose = max if rules.select == "min" else min  # "min" selects the least change
    return min(spec, choose(_lowered(p, _start(p, history, now, spec)) for p in rules.policies))


def _start(policy: RatePolicy, history: History, now: float, spec: int) -> int:
    cutoff = now - policy.period
    return spec - _total(history.ups, cutoff) + _total(history.downs, cutoff)


def _total(events: tuple[Stamped, ...], cutoff: float) -> int:
    return sum(event.replicas for event in events if event.at > cutoff)


def _raised(policy: RatePolicy, start: int) -> int:
    if policy.kind == "replicas":
        return start + policy.value
    return math.ceil(start * (1 + policy.value / 100))


def _lowered(policy: RatePolicy, start: int) -> int:
    if policy.kind == "replicas":
        return start - policy.value
    return int(start * (1 - policy.value / 100))
