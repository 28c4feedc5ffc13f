"""A deployment's scaling block as a ScaledObject of KEDA, with its policies in words.

The same block runs at home (`headrace.scaling`); what differs in a cluster is said in comments.
`prometheus_triggers.py` has the triggers on metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from headrace.fleet.types import RatePolicy, Scaling, ScalingDirection
from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted, annotated
from headrace.kubernetes.objects.prometheus_triggers import (
    demand_triggers,
    engine_triggers,
    missing,
)
from headrace.kubernetes.objects.workload import Workload
from headrace.kubernetes.options import BEHAVIOR_SINCE
from headrace.routing.from_fleet import routes_of

DOWN_WINDOW = 300
"""Kubernetes' own default, in seconds."""
UP_PERIOD, DOWN_PERIOD = 30, 60
"""Seconds for one replica, where the file has no policies."""
FAILURES = 3
"""Failed polls in a row until the fallback counts."""


def objects(work: Workload) -> list[Noted]:
    """Return the ScaledObject; none where KEDA is left out or nothing scales."""
    if not work.scaled:
        return []
    meta = work.scene.meta(work.name, "engine", work.deployment_name, work.deployment_name)
    return [
        Noted(
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": meta,
                "spec": _spec(work),
            },
            head="\n".join(policies(work)),
        )
    ]


def policies(work: Workload) -> Iterator[str]:
    """Yield what the scaling block means, a sentence a line."""
    scaling = work.deployment.scaling
    yield from _floor(work, scaling)
    for route in routes_of(work.scene.fleet):
        if work.deployment_name in {one.deployment for one in route.variants}:
            for one in route.overflow:
                when = ", ".join(one.when)
                yield f"Overflow: route {route.name} may go to {one.deployment} when: {when}."
    if work.scene.options.scaler == "prometheus":
        yield from _lost(scaling)
    if small := [one.target for one in scaling.triggers if one.target < 1]:
        yield (
            f"A target below 1 ({small[0]:g}) is cut to 0 in KEDA's fallback, which then asks for"
            " nothing; give whole numbers."
        )


def _floor(work: Workload, scaling: Scaling) -> Iterator[str]:
    if scaling.min:
        reason = work.reasons.get("scaling.min", "")
        yield f"Warm floor: {scaling.min} at all times{f'; {reason}' if reason else ''}."
        return
    wake = (
        "the gateways hold its requests, and the external scaler's stream wakes it within a second"
        " or two"
    )
    if work.scene.options.scaler == "prometheus":
        wake = "the gateways hold its requests, and their metrics wake it"
    yield (
        f"Scale to zero: it rests after {cooldown_period(scaling)[0]} s without requests; {wake}."
        " The first answer then takes a cold start."
    )


def _lost(scaling: Scaling) -> Iterator[str]:
    poll = math.ceil(scaling.polling_interval)
    yield (
        "Without the external scaler: demand comes through Prometheus, so it is a scrape (15 s) and"
        f" a poll ({poll} s) old before anything happens, {15 + poll} s instead of one or two."
    )
    yield (
        "While Prometheus is down nothing wakes by demand; after"
        f" {FAILURES} failed polls the fallback counts as active and keeps what is there."
    )


def _spec(work: Workload) -> Noted:
    scaling = work.deployment.scaling
    rest = _rest(work, scaling)
    spec: dict[str, Any] = {
        "scaleTargetRef": work.target,
        "minReplicaCount": scaling.min,
        "maxReplicaCount": scaling.max,
        **rest,
        "fallback": _fallback(work, scaling),
        "advanced": {
            "restoreToOriginalReplicaCount": False,
            "horizontalPodAutoscalerConfig": {
                "name": work.name,
                "behavior": {"scaleUp": _up(scaling.up), "scaleDown": _down(scaling.down)},
            },
        },
        "triggers": annotated(_triggers(work)),
    }
    notes = {
        "minReplicaCount": _NO_REST if scaling.min else None,
        "maxReplicaCount": work.reasons.get("scaling.max"),
        **rest.notes,
        "triggers": "; ".join(part for part in (_most(), missing(work)) if part),
    }
    return Noted(spec, notes)


_NO_REST = "above 0, so pollingInterval and cooldownPeriod are left out: they would do nothing"


def _rest(work: Workload, scaling: Scaling) -> Noted:
    """Return how it wakes and rests; nothing where it never does."""
    if scaling.min:
        return Noted({})
    cooldown, why = cooldown_period(scaling)
    startup = math.ceil(work.deployment.lifecycle.startup)
    first = (
        "a new ScaledObject would go to its minimum at once: here after lifecycle.startup"
        f" ({startup} s), in which the first replica proves itself, and the cooldown"
    )
    return Noted(
        {
            "pollingInterval": math.ceil(scaling.polling_interval),
            "cooldownPeriod": cooldown,
            "initialCooldownPeriod": cooldown + startup,
        },
        {"cooldownPeriod": why, "initialCooldownPeriod": first},
    )


def _most() -> str:
    return "each asks for its own count, and the largest counts; one that is active keeps all awake"


def cooldown_period(scaling: Scaling) -> tuple[int, str]:
    """Return seconds of idleness until zero, longer than the HPA's own way down, and why.

    KEDA goes from any count straight to 0, past the HPA's policies; so the HPA comes first.
    """
    window = DOWN_WINDOW if scaling.down.window is None else math.ceil(scaling.down.window)
    least = window + 2 * math.ceil(scaling.sync_period) + 1
    asked = math.ceil(scaling.cooldown)
    if asked >= least:
        return asked, f"scaling.cooldown; longer than the HPA's way down ({window} s and two syncs)"
    return least, (
        f"scaling.cooldown is {asked} s, but the HPA needs its window of {window} s and two syncs"
        " to come down first: else KEDA would jump from any count to 0"
    )


def _fallback(work: Workload, scaling: Scaling) -> Noted:
    """Return what holds while a trigger fails; else KEDA may put a busy deployment to sleep."""
    seen = (
        "a frozen Prometheus has put a busy deployment with minimum 0 to sleep within 24 s; with a"
        " fallback the trigger counts as active, so lost metrics wake and never stop anything"
    )
    if work.scene.options.keda >= BEHAVIOR_SINCE:
        floor = {"failureThreshold": FAILURES, "replicas": max(1, scaling.min)}
        made = {**floor, "behavior": "currentReplicasIfHigher"}
        return Noted(made, {"failureThreshold": seen, "behavior": "static would cut what is there"})
    whole = {"failureThreshold": FAILURES, "replicas": scaling.max}
    cost = (
        f"KEDA {work.scene.options.keda} replaces the count (2.17 can keep a higher one), so it is"
        " the maximum: it costs money while metrics are away, and cuts nothing"
    )
    return Noted(whole, {"failureThreshold": seen, "replicas": cost})


def _up(given: ScalingDirection) -> Noted:
    window = 0 if given.window is None else math.ceil(given.window)
    return _direction(
        given, window, UP_PERIOD, "a replica takes minutes to help, and each is a cost"
    )


def _down(given: ScalingDirection) -> Noted:
    window = DOWN_WINDOW if given.window is None else math.ceil(given.window)
    return _direction(given, window, DOWN_PERIOD, "what is stopped takes a cold start to come back")


def _direction(given: ScalingDirection, window: int, period: int, why: str) -> Noted:
    one_each = {"type": "Pods", "value": 1, "periodSeconds": period}
    made = {
        "stabilizationWindowSeconds": window,
        "selectPolicy": given.select.capitalize(),
        "policies": [_policy(one) for one in given.policies or ()] or [one_each],
    }
    default = f"one replica in {period} s: {why}; Kubernetes would double or halve in 15 s"
    return Noted(made, {"policies": None if given.policies else default})


def _policy(one: RatePolicy) -> dict[str, Any]:
    kind = "Pods" if one.kind == "replicas" else "Percent"
    return {"type": kind, "value": one.value, "periodSeconds": math.ceil(one.period)}


def _triggers(work: Workload) -> Iterator[tuple[Noted, str]]:
    if work.scene.options.scaler == "external":
        yield _external(work)
    else:
        yield from demand_triggers(work)
    if work.scene.watched:
        yield from engine_triggers(work)


def _external(work: Workload) -> tuple[Noted, str]:
    scene = work.scene
    address = f"{names.scaler(scene.name)}.{scene.namespace}.svc:{names.SCALER_PORT}"
    metadata = {"scalerAddress": address, "deployment": work.deployment_name}
    asked = ", ".join(_asked(work.deployment.scaling))
    why = (
        f"the fleet file's own triggers ({asked}), counted over all gateways once a second; they"
        " hold requests at zero, so this one knows of work that no engine has seen, and its stream"
        " wakes without waiting for a poll"
    )
    return Noted({"type": "external-push", "name": "demand", "metadata": metadata}), why


def _asked(scaling: Scaling) -> Iterator[str]:
    for one in scaling.triggers:
        of = f" of route {one.route}" if one.route else ""
        yield f"{one.signal}{of} {one.target:g} for each replica"
