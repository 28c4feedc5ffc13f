"""How clients outside the cluster reach the gateways: an HTTPRoute or an Ingress, or not at all.

A proxy's usual 15 or 60 seconds cut long answers, and one that buffers holds back every token.
Timeouts here are longer than the longest request that the gateway allows.
"""

from __future__ import annotations

from typing import Any

from headrace.gateway.control import Limits
from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects.gateway import meta
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.options import Expose

MARGIN = 60
"""Seconds beyond the gateway's own bound, so that the gateway speaks first."""


def objects(scene: Scene) -> list[Noted]:
    """Return the route from outside; none if nobody outside shall come in."""
    expose = scene.options.expose
    if expose.kind == "none":
        return []
    if expose.kind == "ingress":
        return [_ingress(scene, expose)]
    return [] if "gateway-api" in scene.options.without else [_http_route(scene, expose)]


def longest() -> tuple[int, str]:
    """Return seconds that a request may take from outside, and why."""
    total = int(Limits().total)
    why = f"the gateway ends a request after {total} s, waiting included; a proxy must not be first"
    return total + MARGIN, why


def _backend(scene: Scene) -> dict[str, Any]:
    return {"name": names.gateway(scene.name), "port": 80}


def _http_route(scene: Scene, expose: Expose) -> Noted:
    seconds, why = longest()
    space, _, name = expose.parent.partition("/")
    parent = {"name": name, "namespace": space} if expose.parent else {"name": scene.name}
    rule = Noted(
        {
            "backendRefs": [_backend(scene)],
            "timeouts": {"request": f"{seconds}s", "backendRequest": f"{seconds}s"},
        },
        {"timeouts": why},
    )
    missing = f"no Gateway was named (--expose httproute=HOST@NAMESPACE/NAME), so {scene.name}"
    spec = Noted(
        {"parentRefs": [parent], "hostnames": [expose.host], "rules": [rule]},
        {"parentRefs": None if expose.parent else missing},
    )
    return Noted(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": meta(scene, names.gateway(scene.name)),
            "spec": spec,
        }
    )


def _ingress(scene: Scene, expose: Expose) -> Noted:
    seconds, why = longest()
    prefix = "nginx.ingress.kubernetes.io"
    body = Limits().max_body // 2**20
    annotations = Noted(
        {
            f"{prefix}/proxy-read-timeout": str(seconds),
            f"{prefix}/proxy-send-timeout": str(seconds),
            f"{prefix}/proxy-buffering": "off",
            f"{prefix}/proxy-body-size": f"{body}m",
        },
        {
            f"{prefix}/proxy-read-timeout": f"for ingress-nginx; others have their own. {why}",
            f"{prefix}/proxy-buffering": "a token is shown when it is there",
            f"{prefix}/proxy-body-size": "as much as the gateway takes",
        },
    )
    service = {"name": names.gateway(scene.name), "port": {"name": "api"}}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": service}}
    own = meta(scene, names.gateway(scene.name)) | {"annotations": annotations}
    return Noted(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": own,
            "spec": {"rules": [{"host": expose.host, "http": {"paths": [path]}}]},
        }
    )
