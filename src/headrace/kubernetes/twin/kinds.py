"""The kinds that the twin can serve: those of every cluster, and those of four add-ons.

Only what Headrace applies or reads. Groups and plurals are the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.kubernetes.resource import Resource


def _all(group: str, version: str, **kinds: str) -> tuple[Resource, ...]:
    return tuple(Resource(group, version, kind, plural) for kind, plural in kinds.items())


BUILT_IN: tuple[Resource, ...] = (
    Resource("", "v1", "Namespace", "namespaces", namespaced=False),
    *_all(
        "",
        "v1",
        ConfigMap="configmaps",
        Event="events",
        PersistentVolumeClaim="persistentvolumeclaims",
        Pod="pods",
        Secret="secrets",  # noqa: S106 - a plural
        Service="services",
        ServiceAccount="serviceaccounts",
    ),
    *_all("apps", "v1", Deployment="deployments", ReplicaSet="replicasets"),
    *_all("autoscaling", "v2", HorizontalPodAutoscaler="horizontalpodautoscalers"),
    *_all("batch", "v1", Job="jobs"),
    *_all("discovery.k8s.io", "v1", EndpointSlice="endpointslices"),
    *_all("networking.k8s.io", "v1", Ingress="ingresses", NetworkPolicy="networkpolicies"),
    *_all("policy", "v1", PodDisruptionBudget="poddisruptionbudgets"),
    *_all("rbac.authorization.k8s.io", "v1", Role="roles", RoleBinding="rolebindings"),
)
ADD_ONS: Mapping[str, tuple[Resource, ...]] = {
    "keda": _all(
        "keda.sh",
        "v1alpha1",
        ScaledObject="scaledobjects",
        TriggerAuthentication="triggerauthentications",
    ),
    "prometheus": _all(
        "monitoring.coreos.com",
        "v1",
        PodMonitor="podmonitors",
        ServiceMonitor="servicemonitors",
        PrometheusRule="prometheusrules",
    ),
    "lws": _all("leaderworkerset.x-k8s.io", "v1", LeaderWorkerSet="leaderworkersets"),
    "gateway-api": _all(
        "gateway.networking.k8s.io", "v1", HTTPRoute="httproutes", Gateway="gateways"
    ),
}
"""By the name under which `--without` leaves them out."""
