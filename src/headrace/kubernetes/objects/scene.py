"""The fleet as a cluster sees it: what objects of several deployments share.

`render.py` makes one Scene and a Workload (`workload.py`) for each deployment; the other files here
turn them into objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from headrace.fleet.types import Fleet
from headrace.kubernetes import names
from headrace.kubernetes.options import Options


@dataclass(frozen=True)
class Scene:
    """A settled fleet, its text and its lock's text, and what the cluster decides."""

    fleet: Fleet
    text: str
    lock: str
    options: Options

    @property
    def name(self) -> str:
        """The fleet's."""
        return self.fleet.fleet

    @property
    def namespace(self) -> str:
        """Where all objects are."""
        return self.options.namespace or self.name

    @cached_property
    def scaled(self) -> bool:
        """Whether KEDA owns the counts."""
        return "keda" not in self.options.without

    @property
    def watched(self) -> bool:
        """Whether there is a Prometheus operator to tell what to read."""
        return "prometheus" not in self.options.without

    def meta(
        self, name: str, component: str, title: str, deployment: str | None = None
    ) -> dict[str, Any]:
        """Return an object's metadata; `title` is its app.kubernetes.io/name."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": names.labels(self.name, title, component, deployment),
        }


def prometheus_labels(scene: Scene) -> Mapping[str, str]:
    """Return the labels by which a namespace is picked: the one that Prometheus is in."""
    return {"kubernetes.io/metadata.name": scene.options.prometheus_namespace}
