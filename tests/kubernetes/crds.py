"""Schemas of objects that no package has: LeaderWorkerSet and HTTPRoute, as far as Headrace writes them.

Written from the fields that the projects publish (leaderworkerset.x-k8s.io/v1 and
gateway.networking.k8s.io/v1); unknown fields are errors, as server-side apply makes them. A Pod
template inside is checked as a Pod's by whoever uses this.
"""

from __future__ import annotations

from typing import Any


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_COUNT = {"type": "integer", "minimum": 0}
_COUNT_OR_SHARE = {"anyOf": [_COUNT, {"type": "string", "pattern": r"^[0-9]+%$"}]}
_TEMPLATE = {"type": "object", "required": ["metadata", "spec"]}
_DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
_LABEL = {"type": "string", "maxLength": 63, "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}

LEADER_WORKER_SET = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "leaderworkerset.x-k8s.io/v1"},
    kind={"const": "LeaderWorkerSet"},
    metadata={"type": "object", "required": ["name", "namespace"]},
    spec=_object(
        ("leaderWorkerTemplate",),
        replicas=_COUNT,
        startupPolicy={"enum": ["LeaderCreated", "LeaderReady"]},
        rolloutStrategy=_object(
            ("type",),
            type={"const": "RollingUpdate"},
            rollingUpdateConfiguration=_object(
                partition=_COUNT, maxUnavailable=_COUNT_OR_SHARE, maxSurge=_COUNT_OR_SHARE
            ),
        ),
        networkConfig=_object(subdomainPolicy={"enum": ["Shared", "UniquePerReplica"]}),
        leaderWorkerTemplate=_object(
            ("workerTemplate",),
            size={"type": "integer", "minimum": 1},
            restartPolicy={
                "enum": ["Default", "RecreateGroupOnPodRestart", "RecreateGroupAfterStart", "None"]
            },
            leaderTemplate=_TEMPLATE,
            workerTemplate=_TEMPLATE,
        ),
    ),
)

HTTP_ROUTE = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "gateway.networking.k8s.io/v1"},
    kind={"const": "HTTPRoute"},
    metadata={"type": "object", "required": ["name", "namespace"]},
    spec=_object(
        parentRefs={
            "type": "array",
            "maxItems": 32,
            "items": _object(("name",), name={"type": "string"}, namespace=_LABEL),
        },
        hostnames={
            "type": "array",
            "maxItems": 16,
            "items": {
                "type": "string",
                "maxLength": 253,
                "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?"
                r"(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            },
        },
        rules={
            "type": "array",
            "maxItems": 16,
            "items": _object(
                backendRefs={
                    "type": "array",
                    "maxItems": 16,
                    "items": _object(
                        ("name",),
                        name={"type": "string"},
                        port={"type": "integer", "minimum": 1, "maximum": 65535},
                    ),
                },
                timeouts=_object(request=_DURATION, backendRequest=_DURATION),
            ),
        },
    ),
)

KUSTOMIZATION = _object(
    ("apiVersion", "kind", "resources"),
    apiVersion={"const": "kustomize.config.k8s.io/v1beta1"},
    kind={"const": "Kustomization"},
    resources={"type": "array", "items": {"type": "string"}, "uniqueItems": True},
)
