"""KEDA's Prometheus triggers: what engines say beside the gateway's demand, or all there is.

With the external scaler they are the second opinion: queues inside engines, and slow tokens.
Without it the gateway's own metrics come the same way, later and only while Prometheus is there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from headrace.fleet.types import Scaling, Trigger
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import queries
from headrace.kubernetes.objects.workload import Workload
from headrace.routing.from_fleet import routes_of

USUAL_QUEUE = 5.0
"""Requests waiting inside an engine for each replica, where the file has no target for waiting."""
ONE = 1_000_000
"""A target that no load reaches, so that a trigger asks for one replica and never for more."""
MS = 1000


def engine_triggers(work: Workload) -> Iterator[tuple[Noted, str]]:
    """Yield triggers on the engines' own metrics, with their comments."""
    if (waiting := queries.queue(work)) is not None:
        target, whose = _queue_target(work)
        why = (
            f"requests that wait inside engines (KV cache or batch full), {target:g} for each"
            f" replica: {whose}. The gateway's demand does not see why an engine waits"
        )
        yield _trigger(work, "engine-queue", waiting, target), why
    promise = slowest_tpot(work)
    if promise is not None and (query := queries.slow(work)) is not None:
        route, seconds = promise
        why = (
            f"P95 time per output token in ms, times the replicas: route {route} promises"
            f" {seconds * MS:g} ms. Ratios within 10 % move nothing (the HPA's tolerance). It may"
            f" keep a replica up to {queries.LATENCY_WINDOW} longer, never wake one"
        )
        yield _trigger(work, "tpot", query, seconds * MS), why


def missing(work: Workload) -> str:
    """Say which engine triggers there cannot be, and why."""
    stale = queries.STALE.get(work.engine.name)
    if stale:
        return f"no trigger on {work.engine.name}'s own metrics: {stale}"
    if slowest_tpot(work) is not None and queries.slow(work) is None:
        return f"no trigger on TPOT: {work.engine.name} {work.engine.version} has no such metric"
    return ""


def demand_triggers(work: Workload) -> Iterator[tuple[Noted, str]]:
    """Yield the file's own triggers on the gateways' metrics, for clusters without the scaler."""
    for trigger in work.deployment.scaling.triggers:
        name = f"{trigger.signal}-{trigger.route}" if trigger.route else trigger.signal
        query = queries.demand(work, trigger)
        made = _trigger(work, name, query, trigger.target, trigger.activation)
        yield made, f"{_signal(trigger)}, {trigger.target:g} for each replica"
    if not _keeps_awake(work.deployment.scaling):
        query = queries.demand(work, Trigger(signal="running", target=ONE))
        why = (
            "no trigger above is active for all requests that run: this one keeps their replica"
            " from zero, and asks for no further one"
        )
        yield _trigger(work, "awake", query, ONE), why


def _keeps_awake(scaling: Scaling) -> bool:
    """Whether a deployment cannot rest, or one of its triggers sees any request that runs."""
    return scaling.min > 0 or any(
        one.signal != "waiting" and one.route is None and one.activation == 0
        for one in scaling.triggers
    )


def _signal(trigger: Trigger) -> str:
    what = {"waiting": "held or queued", "running": "running", "demand": "waiting or running"}
    of = f" of route {trigger.route}" if trigger.route else ""
    return f"requests{of} that are {what[trigger.signal]}, as the gateways report them"


def _queue_target(work: Workload) -> tuple[float, str]:
    targets = [one.target for one in work.deployment.scaling.triggers if one.signal == "waiting"]
    if targets:
        return min(targets), "the file's target for waiting"
    return USUAL_QUEUE, "the file has no target for waiting; this is Headrace's default for it"


def slowest_tpot(work: Workload) -> tuple[str, float] | None:
    """Return the route with the strictest TPOT that leads here, and its promise in seconds."""
    found = [
        (route.slo.tpot, route.name)
        for route in routes_of(work.scene.fleet)
        if route.slo.tpot is not None
        and work.deployment_name in {one.deployment for one in route.variants}
    ]
    return (min(found)[1], min(found)[0]) if found else None


def _trigger(
    work: Workload, name: str, query: str, target: float, activation: float = 0.0
) -> Noted:
    """Return a trigger; KEDA's fallback cuts a target to whole numbers, so it gets one.

    A target below 1 would be 0 there, and the fallback would then ask for no replicas at all.
    """
    scale = 1 if target == math.floor(target) else MS
    scaled = query if scale == 1 else f"{scale} * ({query})"
    metadata: dict[str, Any] = {
        "serverAddress": work.scene.options.prometheus,
        "query": scaled,
        "threshold": f"{target * scale:.10g}",
        "ignoreNullValues": "false",
    }
    if work.deployment.scaling.min == 0:  # above 0 there is nothing to activate
        metadata["activationThreshold"] = f"{activation * scale:.10g}"
    notes = {
        "ignoreNullValues": "silence is an error and holds the count; by default it would be 0",
    }
    return Noted(
        {
            "type": "prometheus",
            "name": name,
            "metricType": "AverageValue",
            "metadata": Noted(metadata, notes),
        }
    )
