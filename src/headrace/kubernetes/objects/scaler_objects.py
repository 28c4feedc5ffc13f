"""The external scaler in the cluster: what tells KEDA how much work the gateways have.

Two of them, without state: KEDA asks one or the other. One that is unreachable is an error to KEDA,
which holds the counts (`scaling.py`).
"""

from __future__ import annotations

from typing import Any

from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import gateway, security, storage
from headrace.kubernetes.objects.scene import Scene

REPLICAS = 2
_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
_GRACE = 15
_STATE = "/tmp/headrace"  # noqa: S108 - a path in the container


def objects(scene: Scene) -> list[Noted]:
    """Return the scaler; none where KEDA is left out or asks Prometheus."""
    if not scene.scaled or scene.options.scaler == "prometheus":
        return []
    why = "where the gateways are; and what starts of engines' Pods took, by their status, no logs"
    return [
        *gateway.rights(scene, names.SCALER, _PODS, why=why),
        _deployment(scene),
        _service(scene),
    ]


def _meta(scene: Scene) -> dict[str, Any]:
    return scene.meta(names.scaler(scene.name), names.SCALER, names.SCALER)


def _deployment(scene: Scene) -> Noted:
    labels = names.labels(scene.name, names.SCALER, names.SCALER)
    spec = {
        "replicas": REPLICAS,
        "selector": {"matchLabels": names.selector(scene.name, names.SCALER)},
        "template": {
            "metadata": {"labels": labels},
            "spec": _pod(scene),
        },
    }
    return Noted(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _meta(scene), "spec": spec}
    )


def _pod(scene: Scene) -> Noted:
    mounted = [storage.config_volume(scene), storage.temporary()]
    container = Noted(
        {
            "name": names.SCALER,
            "image": scene.options.image,
            "args": ["scaler", names.CONFIG_FILE],
            "env": gateway.environment(_STATE),
            "ports": [
                {"name": "grpc", "containerPort": names.SCALER_PORT},
                {"name": "admin", "containerPort": names.SCALER_HEALTH_PORT},
            ],
            "readinessProbe": _probe("/readyz", 2, 2),
            "livenessProbe": _probe("/healthz", 10, 6),
            "resources": {
                "requests": {"cpu": "100m", "memory": "192Mi"},
                "limits": {"memory": "512Mi"},
            },
            "securityContext": security.container(security.HEADRACE_USER),
            "volumeMounts": storage.mounts(mounted),
        },
        {"readinessProbe": "503 until it knows the gateways: what it said before would be a guess"},
    )
    return Noted(
        {
            "serviceAccountName": names.scaler(scene.name),
            "automountServiceAccountToken": True,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _GRACE,
            "securityContext": security.pod(),
            "containers": [container],
            "volumes": storage.volumes(mounted),
        },
        {"automountServiceAccountToken": "it finds the gateways by their EndpointSlices"},
    )


def _probe(path: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "admin"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _service(scene: Scene) -> Noted:
    port = {"name": "grpc", "port": names.SCALER_PORT, "targetPort": "grpc"}
    spec = Noted(
        {
            "clusterIP": "None",
            "selector": names.selector(scene.name, names.SCALER),
            "ports": [port | {"appProtocol": "kubernetes.io/h2c"}],
        },
        {"clusterIP": "KEDA's client takes turns between the addresses itself"},
    )
    return Noted({"apiVersion": "v1", "kind": "Service", "metadata": _meta(scene), "spec": spec})
