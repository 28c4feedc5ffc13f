"""How a kind is addressed: the path of its objects below the API server.

`discovery.py` finds out which of these a cluster has; those named here are part of every one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
"""A Kubernetes object as plain data."""


@dataclass(frozen=True)
class Resource:
    """A kind in a version of its API group; the core group's name is empty."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As objects write it, such as `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of an object, or of all; no namespace: of all namespaces."""
        parts = ["apis", self.group] if self.group else ["api"]
        parts.append(self.version)
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/" + "/".join([*parts, self.plural, *([name] if name else [])])


def api_path(api_version: str) -> str:
    """Return the path of an API group's version, where its kinds are listed."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def kind_of(one: Object) -> tuple[str, str]:
    """Return an object's apiVersion and kind."""
    return one["apiVersion"], one["kind"]


def called(one: Object) -> str:
    """Return how people refer to an object: `Deployment laptop-chat`."""
    return f"{one['kind']} {one['metadata']['name']}"


PODS = Resource("", "v1", "Pod", "pods")
EVENTS = Resource("", "v1", "Event", "events")
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
CLAIMS = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments")
JOBS = Resource("batch", "v1", "Job", "jobs")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
