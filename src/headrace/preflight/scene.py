"""Everything that was given, looked at together: which objects belong to which.

Rules ask a Scene; it knows nothing that is not in the files, so a rule about what is missing asks
first whether the files hold what it could be missing from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from headrace.preflight.engine import Engine
from headrace.preflight.objects import Resource, same_namespace, selects
from headrace.preflight.scalers import Scaler, scaler_of
from headrace.preflight.workload import Workload, workloads_of

_ENGINE_WORD = re.compile(r"(^|[-_.])(v?llms?|tgi|sglang|triton|trtllm|inference)([-_.\d]|$)")


@dataclass(frozen=True)
class Scene:
    """The objects of all files."""

    resources: Sequence[Resource]

    def of_kind(self, *kinds: str) -> Iterator[Resource]:
        """Yield the objects of these kinds."""
        return (one for one in self.resources if one.kind in kinds)

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """Everything that makes Pods."""
        return tuple(found for one in self.resources for found in workloads_of(one))

    @cached_property
    def serving(self) -> tuple[Workload, ...]:
        """Those that answer requests with an engine."""
        return tuple(one for one in self.workloads if one.serving)

    @cached_property
    def served(self) -> tuple[tuple[Workload, Engine], ...]:
        """Each engine that answers requests, with its workload."""
        return tuple((one, engine) for one in self.serving for engine in one.engines)

    @cached_property
    def scalers(self) -> tuple[Scaler, ...]:
        """Every HPA and ScaledObject."""
        found = (scaler_of(one) for one in self.resources)
        return tuple(one for one in found if one)

    def target(self, scaler: Scaler) -> Workload | None:
        """Return what a scaler scales, if it is among the files."""
        for one in self.workloads:
            resource = one.resource
            named = resource.name == scaler.target["name"].text
            if named and resource.kind == scaler.target_kind and near(resource, scaler.resource):
                return one
        return None

    def scales_engine(self, scaler: Scaler) -> bool:
        """Whether a scaler scales an engine: by its target, else by the target's name."""
        target = self.target(scaler)
        if target is not None:
            return target.serving
        return _ENGINE_WORD.search(scaler.target["name"].text.lower()) is not None

    def scalers_of(self, workload: Workload) -> list[Scaler]:
        """Return what scales a workload."""
        return [
            one
            for one in self.scalers
            if (t := self.target(one)) and t.resource is workload.resource
        ]

    def bounds(self, workload: Workload) -> tuple[int, int]:
        """Return the fewest and the most replicas that a workload has."""
        scalers = self.scalers_of(workload)
        if not scalers:
            return workload.replicas, workload.replicas
        return min(one.low for one in scalers), max(one.high for one in scalers)

    def selected(self, service: Resource) -> list[Workload]:
        """Return the workloads whose Pods a Service sends requests to."""
        selector = service.spec["selector"].labels()
        return [
            one
            for one in self.workloads
            if selector and selects(selector, one.labels) and near(one.resource, service)
        ]

    def services_of(self, workload: Workload) -> list[Resource]:
        """Return the Services that send requests to a workload."""
        services = self.of_kind("Service")
        return [one for one in services if workload in self.selected(one)]


def near(one: Resource, other: Resource) -> bool:
    """Whether two objects are in one namespace, as far as the files say."""
    return same_namespace(one.namespace, other.namespace)
