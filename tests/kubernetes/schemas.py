"""Is an object one that an API server takes? By the schemas of each project, unknown fields refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus
from crds import HTTP_ROUTE, KUSTOMIZATION, LEADER_WORKER_SET

VERSIONS = ("1.35", "1.36", "1.37")
_TYPED = {
    "ScaledObject": keda.ScaledObject,
    "PodMonitor": prometheus.PodMonitor,
    "PrometheusRule": prometheus.PrometheusRule,
}
_OWN = {
    "LeaderWorkerSet": LEADER_WORKER_SET,
    "HTTPRoute": HTTP_ROUTE,
    "Kustomization": KUSTOMIZATION,
}
SINCE_2_17 = ("spec", "fallback", "behavior")
"""KEDA's models are of 2.16, which has no such field yet."""


def validate(data: Mapping[str, Any], version: str) -> None:
    """Raise if a Kubernetes of this version, with its CRDs, would refuse the object."""
    kind = data["kind"]
    if kind in _TYPED:
        _validate_typed(data, _TYPED[kind])
    elif kind in _OWN:
        jsonschema_rs.validate(_OWN[kind], data)
        for template in _templates(data):
            pod = {"apiVersion": "v1", "kind": "Pod", **template}
            _validator(version, "pod-v1").validate(pod)
    else:
        group, _, api = data["apiVersion"].rpartition("/")
        name = f"{group.split('.')[0]}-{api}" if group else api
        _validator(version, f"{kind.lower()}-{name}").validate(data)


def _templates(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inside = data.get("spec", {}).get("leaderWorkerTemplate", {})
    return [inside[name] for name in ("leaderTemplate", "workerTemplate") if name in inside]


@cache
def _folder(version: str) -> Any:
    root = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    return next(
        one
        for one in root.iterdir()
        if one.name.startswith(f"v{version}.") and one.name.endswith("-local-strict")
    )


@cache
def _registry(version: str) -> jsonschema_rs.Registry:
    definitions = json.loads((_folder(version) / "_definitions.json").read_text())
    return jsonschema_rs.Registry([("json-schema:///_definitions.json", definitions)])


@cache
def _validator(version: str, name: str) -> jsonschema_rs.Draft202012Validator:
    schema = json.loads((_folder(version) / f"{name}.json").read_text())
    return jsonschema_rs.Draft202012Validator(schema, registry=_registry(version))


def _validate_typed(data: Mapping[str, Any], model: Any) -> None:
    known = model.model_validate(data).model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude_none=True
    )
    lost = sorted(set(_paths(data)) - set(_paths(known)) - {SINCE_2_17})
    assert not lost, f"{data['kind']} has no {lost}"


def _paths(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(data, Mapping):
        return [p for key, value in data.items() for p in _paths(value, (*path, str(key)))]
    if isinstance(data, list):
        return [p for i, value in enumerate(data) for p in _paths(value, (*path, str(i)))]
    return [path]
