"""The gateways in the cluster: Deployment, Services, rights, and how clients from outside come in.

Each gateway sends requests straight to Pods, which it learns of from EndpointSlices; so it may read
those of its own namespace, and nothing else.
"""

from __future__ import annotations

import math
from typing import Any

from headrace.gateway.control import Limits
from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import security, storage
from headrace.kubernetes.objects.lifecycle import EXIT, SPREAD
from headrace.kubernetes.objects.placement import gateway_spread
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.storage import Mounted

STATE = "/var/lib/headrace"
"""Records of requests and counts of what keys used: of this Pod, gone with it."""


def objects(scene: Scene) -> list[Noted]:
    """Return all that the gateways need inside the cluster."""
    return [*rights(scene, names.GATEWAY), _deployment(scene), *_services(scene), _budget(scene)]


_ENDPOINTS = "which Pods are ready, and which are terminating; nothing else of the cluster"


def meta(scene: Scene, name: str) -> dict[str, Any]:
    """Return the metadata of one of its objects."""
    return scene.meta(name, names.GATEWAY, names.GATEWAY)


def rights(
    scene: Scene, component: str, *more: dict[str, Any], why: str = _ENDPOINTS
) -> list[Noted]:
    """Return the account of a component and its right to read EndpointSlices, and `more` rules."""
    name = f"{scene.name}-{component}"
    own = scene.meta(name, component, component)
    group = "rbac.authorization.k8s.io"
    rule = {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own}
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": own, "rules": [rule, *more]}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": own,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": scene.namespace}],
    }
    return [
        Noted(account | {"automountServiceAccountToken": False}),
        Noted(role, {"rules": why}),
        Noted(binding),
    ]


def longest_drain(scene: Scene) -> int:
    """Return seconds that streams on a stopping gateway may need: the longest drain of all."""
    return max(math.ceil(one.lifecycle.drain) for one in scene.fleet.deployments.values())


def _deployment(scene: Scene) -> Noted:
    drain = longest_drain(scene)
    selector = names.selector(scene.name, names.GATEWAY)
    labels = names.labels(scene.name, names.GATEWAY, names.GATEWAY)
    spec = Noted(
        {
            "replicas": scene.options.gateways,
            "selector": {"matchLabels": selector},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(scene, drain),
            },
        },
        {"replicas": "each has queues of its own; two, so that one may go at any time"},
    )
    name = names.gateway(scene.name)
    return Noted(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta(scene, name),
            "spec": spec,
        }
    )


def _pod(scene: Scene, drain: int) -> Noted:
    mounted = [storage.config_volume(scene), storage.temporary(), _state()]
    grace = SPREAD + drain + EXIT
    return Noted(
        {
            "serviceAccountName": names.gateway(scene.name),
            "automountServiceAccountToken": True,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": grace,
            "securityContext": security.pod(),
            "topologySpreadConstraints": gateway_spread(scene.name),
            "containers": [_container(scene, mounted)],
            "volumes": storage.volumes(mounted),
        },
        {
            "automountServiceAccountToken": "for its watch of EndpointSlices",
            "terminationGracePeriodSeconds": f"preStop {SPREAD} s + the longest drain {drain} s +"
            f" exit {EXIT} s: streams end where they began",
        },
    )


def _state() -> Mounted:
    mount = {"name": "state", "mountPath": STATE}
    return Mounted({"name": "state", "emptyDir": {}}, (mount,), "records of requests, of this Pod")


def environment(state: str) -> list[dict[str, Any]]:
    """Return what Headrace's own Pods are told: who and where they are, and where to write."""
    return [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "HEADRACE_STATE", "value": state},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a path in the container
    ]


def _container(scene: Scene, mounted: list[Mounted]) -> Noted:
    ready = {"httpGet": {"path": "/readyz", "port": "admin"}, "periodSeconds": 2}
    alive = {
        "httpGet": {"path": "/healthz", "port": "admin"},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
    }
    most = Limits()
    return Noted(
        {
            "name": names.GATEWAY,
            "image": scene.options.image,
            "args": ["gateway", "serve", names.CONFIG_FILE],
            "env": environment(STATE),
            "ports": [
                {"name": "api", "containerPort": names.API_PORT},
                {"name": "admin", "containerPort": names.ADMIN_PORT},
            ],
            "startupProbe": ready | {"failureThreshold": 60},
            "readinessProbe": ready | {"failureThreshold": 2},
            "livenessProbe": alive | {"failureThreshold": 6},
            "lifecycle": {"preStop": {"sleep": {"seconds": SPREAD}}},
            "resources": {
                "requests": {"cpu": "1", "memory": "1Gi"},
                "limits": Noted(
                    {"memory": "3Gi"},
                    {"memory": f"it holds up to {most.max_bodies // 2**20} MiB of request bodies"},
                ),
            },
            "securityContext": security.container(security.HEADRACE_USER),
            "volumeMounts": storage.mounts(mounted),
        },
        {
            "readinessProbe": "503 while it drains, and until it knows its routes; models may rest"
            " meanwhile: their requests are held",
            "lifecycle": f"{SPREAD} s in which load balancers forget it, then SIGTERM: it takes"
            " nothing new and finishes its streams",
        },
    )


def _services(scene: Scene) -> list[Noted]:
    selector = names.selector(scene.name, names.GATEWAY)
    api = {"name": "api", "port": 80, "targetPort": "api", "appProtocol": "http"}
    admin = {"name": "admin", "port": names.ADMIN_PORT, "targetPort": "admin"}
    headless = Noted(
        {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector,
            "ports": [admin],
        },
        {
            "clusterIP": "the scaler asks every gateway, because each has queues of its own, and"
            " gateways tell each other what counts for limits",
            "publishNotReadyAddresses": "one that drains still has requests that count as demand",
        },
    )
    return [
        _service(scene, names.gateway(scene.name), {"selector": selector, "ports": [api]}),
        _service(scene, names.gateway_admin(scene.name), headless),
    ]


def _service(scene: Scene, name: str, spec: dict[str, Any]) -> Noted:
    return Noted(
        {"apiVersion": "v1", "kind": "Service", "metadata": meta(scene, name), "spec": spec}
    )


def _budget(scene: Scene) -> Noted:
    selector = {"matchLabels": names.selector(scene.name, names.GATEWAY)}
    return Noted(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta(scene, names.gateway(scene.name)),
            "spec": {
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": selector,
            },
        }
    )
