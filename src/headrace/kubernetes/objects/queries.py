"""PromQL about one deployment: engines' metrics as the pinned version names them, and our own.

The rule in all of them: silence is not idleness. A query whose series are gone returns nothing,
which KEDA takes for an error (`ignoreNullValues: "false"`); zero is only said where the gateway,
which lives at zero replicas, reports that there are none.
"""

from __future__ import annotations

from headrace.fleet.types import Trigger
from headrace.kubernetes.objects.workload import Workload

ENGINE_LABEL = "headrace_dev_deployment"
"""What the Pods' label headrace.dev/deployment becomes on their series (podTargetLabels)."""
LATENCY_WINDOW = "2m"
"""Of P95 TPOT: eight scrapes of 15 s."""
STALE = {
    "trtllm": "its gauges are refreshed only when a request ends, so long answers make them old"
}
"""Engines whose gauges are no signal, and why."""


def engine_metric(work: Workload, canonical: str) -> str | None:
    """Return the name of a metric in the pinned version; None if it has none."""
    names = work.engine.metric_sources().get(canonical, ())
    return names[0] if names else None


def select(metric: str, labels: str, suffix: str = "") -> str:
    """Return a selector; a metric may come with a label of its own: `name{label="value"}`."""
    name, _, own = metric.removesuffix("}").partition("{")
    return f"{name}{suffix}{{{f'{own},' if own else ''}{labels}}}"


def engine_labels(work: Workload) -> str:
    """Return the labels of the series of a deployment's engines."""
    return f'namespace="{work.scene.namespace}",{ENGINE_LABEL}="{work.deployment_name}"'


def gateway_labels(work: Workload, route: str | None = None) -> str:
    """Return the labels of the gateway's series of a deployment."""
    found = f'namespace="{work.scene.namespace}",deployment="{work.deployment_name}"'
    return found if route is None else f'{found},route="{route}"'


def ready(work: Workload) -> str:
    """Return a selector of the Pods that each gateway may send requests to."""
    return select("headrace_pods", f'{gateway_labels(work)},state="ready"')


def at_rest(work: Workload) -> str:
    """Return 0 while the gateways say that no Pod is ready, else nothing.

    They send nothing then, so there is nothing inside engines: at zero, and during a cold start.
    """
    return f"(0 * (sum({ready(work)}) == 0))"


def queue(work: Workload) -> str | None:
    """Return the requests that wait inside engines; None where the engine does not tell."""
    metric = engine_metric(work, "waiting")
    if metric is None or work.engine.name in STALE:
        return None
    return f"sum({select(metric, engine_labels(work))}) or {at_rest(work)}"


def slow(work: Workload) -> str | None:
    """Return P95 TPOT in ms, times the replicas that answer: as a total, which the HPA divides.

    NaN, which a quantile is while nothing is generated, counts as 0 if the engines are there to be
    asked; else it would be an error, and nothing could scale down while it is idle.
    """
    latency = engine_metric(work, "tpot") or engine_metric(work, "itl")
    running = engine_metric(work, "running")
    if latency is None or running is None or work.engine.name in STALE:
        return None
    labels = engine_labels(work)
    buckets = select(latency, labels, "_bucket")
    there = select(running, labels)
    quantile = f"histogram_quantile(0.95, sum by (le) (rate({buckets}[{LATENCY_WINDOW}])))"
    pods = f"count(count by (pod) ({there}))"
    return f"(1000 * {quantile} * {pods}) >= 0 or (0 * sum({there})) or {at_rest(work)}"


def demand(work: Workload, trigger: Trigger) -> str:
    """Return a trigger's signal as the gateways report it; they report at zero replicas as well."""
    heard = select("headrace_held", gateway_labels(work))
    parts = {
        "waiting": ("headrace_held", "headrace_queued"),
        "running": ("headrace_running",),
        "demand": ("headrace_held", "headrace_queued", "headrace_running"),
    }
    if trigger.route is None:
        labels = gateway_labels(work)
        return " + ".join(f"sum({select(one, labels)})" for one in parts[trigger.signal])
    by_route = {
        "waiting": ("headrace_route_waiting",),
        "running": ("headrace_route_running",),
        "demand": ("headrace_route_waiting", "headrace_route_running"),
    }
    labels = gateway_labels(work, trigger.route)
    return " + ".join(
        f"(sum({select(one, labels)}) or 0 * sum({heard}))" for one in by_route[trigger.signal]
    )
