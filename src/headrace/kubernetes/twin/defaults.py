"""What the API server adds to an object that leaves something out, and what it refuses.

Enough of both that a client which takes either for a difference, or for its own fault, is found
out. Values are those of Kubernetes' defaulting and validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.kubernetes.resource import Object, Resource
from headrace.kubernetes.twin.statuses import invalid

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_IMMUTABLE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Deployment": (("spec", "selector"),),
    "Job": (("spec", "template"), ("spec", "selector")),
    "PersistentVolumeClaim": (("spec", "accessModes"), ("spec", "storageClassName")),
    "RoleBinding": (("roleRef",),),
}
_FIELD_WORDS = "field is immutable"


def with_defaults(resource: Resource, one: dict[str, Any]) -> dict[str, Any]:
    """Fill in what was left out, in place; return the object."""
    spec = one.get("spec")
    match resource.kind:
        case "Deployment":
            _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
            _pod_spec(one["spec"]["template"]["spec"])
        case "Job":
            _fill(spec, backoffLimit=6, completions=1, parallelism=1, suspend=False)
            _pod_spec(one["spec"]["template"]["spec"])
        case "Pod":
            _pod_spec(one["spec"])
        case "Service":
            _fill(spec, type="ClusterIP", sessionAffinity="None", clusterIP="10.96.0.10")
            for port in one["spec"].get("ports", []):
                _fill(port, protocol="TCP", targetPort=port["port"])
        case "PersistentVolumeClaim":
            _fill(spec, volumeMode="Filesystem")
            one.setdefault("status", {"phase": "Pending"})
        case "Namespace":
            _fill(one.setdefault("spec", {}), finalizers=["kubernetes"])
            one.setdefault("status", {"phase": "Active"})
            one["metadata"].setdefault("labels", {}).setdefault(
                "kubernetes.io/metadata.name", one["metadata"]["name"]
            )
    return one


def _pod_spec(spec: dict[str, Any]) -> None:
    _fill(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        _fill(container, imagePullPolicy="IfNotPresent", terminationMessagePolicy="File")
        for port in container.get("ports", []):
            _fill(port, protocol="TCP")


def _fill(into: Any, **values: Any) -> None:
    for key, value in values.items():
        into.setdefault(key, value)


def check(resource: Resource, live: Object | None, new: Object) -> None:
    """Refuse what cannot be, or what cannot become of what is there."""
    name = new["metadata"]["name"]
    causes = list(_causes(resource, live, new))
    if causes:
        raise invalid(resource, name, causes)


def _causes(resource: Resource, live: Object | None, new: Object) -> Iterator[tuple[str, str]]:
    name = new["metadata"]["name"]
    if not _NAME.fullmatch(name):
        yield (
            "metadata.name",
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist',
        )
    for path in _IMMUTABLE.get(resource.kind, ()) if live is not None else ():
        before, after = _at(live, path), _at(new, path)
        if before != after:
            yield ".".join(path), f"Invalid value: {after!r}: {_FIELD_WORDS}"
    if resource.kind == "Deployment":
        yield from _selector(new)


def _selector(new: Object) -> Iterator[tuple[str, str]]:
    wanted = new["spec"].get("selector", {}).get("matchLabels", {})
    labels = new["spec"]["template"].get("metadata", {}).get("labels", {})
    if not wanted or wanted.items() - labels.items():
        told = f"Invalid value: {labels!r}: `selector` does not match template `labels`"
        yield "spec.template.metadata.labels", told


def _at(one: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        one = (one or {}).get(key)
    return one
