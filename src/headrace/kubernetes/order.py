"""In which order objects are sent, so that nothing starts before what it needs is there.

An engine whose volume or account is missing would fail and back off; a gateway that came first
would hold requests for engines that nobody has asked for yet. Deletion goes the other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.kubernetes.names import COMPONENT, GATEWAY, SCALER
from headrace.kubernetes.resource import Object, kind_of

STAGES = (
    "namespace",
    "configuration",
    "rights",
    "storage",
    "weights",
    "engines",
    "gateway",
    "scaling",
    "monitoring",
    "network",
)
_BY_KIND: Mapping[str, str] = {
    "Namespace": "namespace",
    "ConfigMap": "configuration",
    "Secret": "configuration",
    "ServiceAccount": "rights",
    "Role": "rights",
    "RoleBinding": "rights",
    "PersistentVolumeClaim": "storage",
    "Job": "weights",
    "ScaledObject": "scaling",
    "TriggerAuthentication": "scaling",
    "PodMonitor": "monitoring",
    "ServiceMonitor": "monitoring",
    "PrometheusRule": "monitoring",
    "NetworkPolicy": "network",
    "Ingress": "network",
    "HTTPRoute": "network",
}
_BY_COMPONENT: Mapping[str, str] = {GATEWAY: "gateway", SCALER: "scaling"}
_LATE = frozenset({"ScaledObject", "RoleBinding"})
"""Kinds that name another object of their stage."""
MADE: tuple[tuple[str, str], ...] = (
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("networking.k8s.io/v1", "Ingress"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
)
"""What any rendering may have made, apart from the namespace: where leftovers are looked for."""


def stage_of(one: Object) -> str:
    """Return the stage in which an object is sent."""
    component = (one["metadata"].get("labels") or {}).get(COMPONENT, "")
    return _BY_KIND.get(kind_of(one)[1]) or _BY_COMPONENT.get(component, "engines")


def ordered(objects: Iterable[Object]) -> list[Object]:
    """Return objects in the order of sending; inside a stage as they were."""
    return sorted(objects, key=_place)


def _place(one: Object) -> tuple[int, bool]:
    return STAGES.index(stage_of(one)), one["kind"] in _LATE
