"""The fleet's dashboard, in a ConfigMap that Grafana's sidecar picks up.

First what clients see and what was promised them, then why: waiting, replicas, and the inside of
each engine by the metrics that its pinned version has. The panels' JSON is `grafana.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import dashboard_engines, dashboard_gateways, grafana
from headrace.kubernetes.objects.grafana import Choice
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.workload import Workload

SIDECAR = "grafana_dashboard"
"""The label by which kube-prometheus-stack's Grafana finds dashboards, unless told otherwise."""


def config_map(scene: Scene, works: Sequence[Workload]) -> Noted:
    """Return the ConfigMap with the fleet's dashboard."""
    meta = scene.meta(names.dashboard(scene.name), "dashboard", "dashboard")
    found_by = "Grafana's sidecar looks for it, in all namespaces if its searchNamespace is ALL"
    meta["labels"] = Noted(meta["labels"] | {SIDECAR: "1"}, {SIDECAR: found_by})
    # the sidecar puts those of all namespaces into one folder
    key = f"headrace-{scene.namespace}-{scene.name}.json"
    import_it = "without a sidecar: Grafana, Dashboards, Import"
    data = Noted({key: _text(scene, works)}, {key: import_it})
    return Noted({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def _text(scene: Scene, works: Sequence[Workload]) -> str:
    rows = [*dashboard_gateways.rows(scene, works), *dashboard_engines.rows(works)]
    ours = f'namespace="{scene.namespace}"'
    choices = [
        Choice("route", f"headrace_requests_total{{{ours}}}", "route"),
        Choice("deployment", f"headrace_held{{{ours}}}", "deployment"),
    ]
    title = f"Headrace: {scene.name}"
    if scene.namespace != scene.name:
        title += f" ({scene.namespace})"
    alerts = f'ALERTS{{alertstate="firing",fleet="{scene.name}"}}'
    return grafana.dashboard(title, f"{scene.namespace}/{scene.name}", rows, choices, alerts)
