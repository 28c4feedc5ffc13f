"""HorizontalPodAutoscalers and KEDA's ScaledObjects as one thing: a target, bounds, signals.

`rules/signals.py` and `rules/zero.py` judge them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from headrace.preflight.node import Node
from headrace.preflight.objects import Resource
from headrace.preflight.promql import metric_names

WINDOW = 300
"""Seconds over which the HPA looks back before it scales down, unless told otherwise."""
COOLDOWN = 300
"""KEDA's cooldownPeriod in seconds, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Signal:
    """One trigger of a ScaledObject or one metric of an HPA."""

    kind: str
    """`prometheus`, `cpu`, `external`, … for KEDA; `cpu`, `memory`, `metric` for an HPA."""
    node: Node
    metadata: Node
    query: str = ""
    """PromQL, or the name of an HPA's metric."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it reads."""
        return metric_names(self.query)

    @property
    def query_node(self) -> Node:
        """Where its query stands."""
        return self.metadata["query"] or self.node


@dataclass(frozen=True, eq=False)
class Scaler:
    """One object that decides how many replicas a target has."""

    resource: Resource

    @property
    def keda(self) -> bool:
        """Whether it is a ScaledObject."""
        return self.resource.kind == "ScaledObject"

    @property
    def spec(self) -> Node:
        """Its spec."""
        return self.resource.spec

    @property
    def target(self) -> Node:
        """What it scales."""
        return self.spec["scaleTargetRef"]

    @property
    def target_kind(self) -> str:
        """The target's kind; KEDA assumes a Deployment."""
        return self.target["kind"].text or "Deployment"

    @property
    def low(self) -> int:
        """The fewest replicas: 0 unless KEDA is told otherwise, 1 of an HPA."""
        if self.keda:
            return self.spec["minReplicaCount"].whole(0)
        return self.spec["minReplicas"].whole(1)

    @property
    def high(self) -> int:
        """The most replicas: 100 unless KEDA is told otherwise."""
        return self.spec["maxReplicaCount" if self.keda else "maxReplicas"].whole(100)

    @property
    def sleeps(self) -> bool:
        """Whether it can scale to zero."""
        return self.keda and (self.low == 0 or bool(self.spec["idleReplicaCount"]))

    @property
    def cooldown(self) -> float:
        """Seconds without activity before zero."""
        number = self.spec["cooldownPeriod"].number
        return COOLDOWN if number is None else number

    @property
    def window(self) -> float:
        """Seconds over which the HPA looks back before it scales down."""
        behavior = (
            self.spec.at("advanced", "horizontalPodAutoscalerConfig", "behavior")
            if self.keda
            else self.spec["behavior"]
        )
        number = behavior.at("scaleDown", "stabilizationWindowSeconds").number
        return WINDOW if number is None else number

    @property
    def formula(self) -> bool:
        """Whether a formula of its own makes one value of all triggers."""
        return bool(self.spec.at("advanced", "scalingModifiers", "formula"))

    @cached_property
    def signals(self) -> tuple[Signal, ...]:
        """Everything it looks at."""
        return tuple(_triggers(self.spec) if self.keda else _metrics(self.spec))


def _triggers(spec: Node) -> Iterator[Signal]:
    for trigger in spec["triggers"].each():
        metadata = trigger["metadata"]
        yield Signal(trigger["type"].text, trigger, metadata, metadata["query"].text)


def _metrics(spec: Node) -> Iterator[Signal]:
    if spec["targetCPUUtilizationPercentage"]:
        node = spec["targetCPUUtilizationPercentage"]
        yield Signal("cpu", node, node)
    for metric in spec["metrics"].each():
        kind = metric["type"].text
        name = metric.at("resource", "name") or metric.at("containerResource", "name")
        if name:
            yield Signal(name.text, metric, metric)
            continue
        part = metric[kind[:1].lower() + kind[1:]]
        yield Signal("metric", metric, part, part.at("metric", "name").text)


def scaler_of(resource: Resource) -> Scaler | None:
    """Return the scaler that an object is, if it is one."""
    return (
        Scaler(resource) if resource.kind in SCALERS and resource.spec["scaleTargetRef"] else None
    )


SCALERS = ("ScaledObject", "HorizontalPodAutoscaler")
