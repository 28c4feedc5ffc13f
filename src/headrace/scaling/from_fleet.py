"""The scaling of a fleet file, as the policies take it, on one machine and in a cluster alike."""

from __future__ import annotations

import math

from headrace.fleet import types as written
from headrace.scaling.policy import Direction, Policy, RatePolicy, Trigger


def policy_of(scaling: written.Scaling) -> Policy | None:
    """Return the policy of a fleet file's scaling section; None if the count is fixed.

    The file's fractions of a second become the next whole second, as Kubernetes has no others.
    """
    if not scaling.triggers:
        return None
    return Policy(
        min=scaling.min,
        max=scaling.max,
        triggers=triggers_of(scaling),
        polling_interval=math.ceil(scaling.polling_interval),
        cooldown=math.ceil(scaling.cooldown),
        initial_cooldown=math.ceil(scaling.cooldown),
        sync_period=math.ceil(scaling.sync_period),
        scale_up=_direction(scaling.up),
        scale_down=_direction(scaling.down),
    )


def triggers_of(scaling: written.Scaling) -> tuple[Trigger, ...]:
    """Return the triggers in their order."""
    return tuple(
        Trigger(one.signal, one.target, one.activation, one.route) for one in scaling.triggers
    )


def _direction(given: written.ScalingDirection) -> Direction | None:
    if given == written.ScalingDirection():
        return None
    return Direction(
        stabilization_window=None if given.window is None else math.ceil(given.window),
        policies=tuple(
            RatePolicy(one.kind, one.value, math.ceil(one.period)) for one in given.policies or ()
        ),
        select=given.select,
    )
