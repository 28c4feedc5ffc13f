"""What Prometheus reads: PodMonitors of the engines, and of the gateways.

Pods are read one by one, not through a Service: a metric belongs to one replica, and one that
drains still has something to say.
"""

from __future__ import annotations

from typing import Any

from headrace.capacity.replicas import SCRAPE
from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import pod, probes
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.workload import Workload

INTERVAL = f"{SCRAPE:.0f}s"


def objects(work: Workload) -> list[Noted]:
    """Return the PodMonitor of a deployment's engines."""
    port = probes.port_name(work.leader, "metrics")
    path = work.leader.metrics_path
    selector = work.selector | ({pod.ROLE: "leader"} if work.pods > 1 else {})
    meta = work.scene.meta(work.name, "engine", work.deployment_name, work.deployment_name)
    target = "the deployment's name on every series: triggers and rules pick by it"
    return [_monitor(meta, selector, {"port": port, "path": path}, (names.DEPLOYMENT, target))]


def own_monitor(scene: Scene, component: str) -> Noted:
    """Return the PodMonitor of gateways or scalers; their series exist at zero replicas."""
    meta = scene.meta(f"{scene.name}-{component}", component, component)
    selector = names.selector(scene.name, component)
    return _monitor(meta, selector, {"port": "admin", "path": "/metrics"}, (names.PART_OF, ""))


def _monitor(
    meta: dict[str, Any],
    selector: dict[str, str],
    endpoint: dict[str, str],
    label: tuple[str, str],
) -> Noted:
    key, why = label
    spec = Noted(
        {
            "selector": {"matchLabels": selector},
            "podTargetLabels": [key],
            "podMetricsEndpoints": [endpoint | {"interval": INTERVAL}],
        },
        {"podTargetLabels": why},
    )
    head = "if your Prometheus picks monitors by a label (often `release`), add it with a patch"
    return Noted(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": Noted(meta, {"labels": head}),
            "spec": spec,
        }
    )
