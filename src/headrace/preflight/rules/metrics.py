"""Rules about metric names wherever they are used: scalers, alerts, recording rules, dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packaging.version import Version

from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.metric_names import life, near
from headrace.preflight.node import Node
from headrace.preflight.objects import Resource
from headrace.preflight.promql import metric_names
from headrace.preflight.scene import Scene

NEWEST = "0.33.0"
"""The newest vLLM whose metrics are known."""


@dataclass(frozen=True)
class Use:
    """A query somewhere, and the versions of vLLM that answer it."""

    resource: Resource
    node: Node
    expression: str
    versions: tuple[str, ...]
    """Of the scaler's target, else of every vLLM in the files; empty where none is known."""


def uses(scene: Scene) -> Iterator[Use]:
    """Yield every query of the files."""
    everywhere = tuple(engine.version or "" for _, engine in scene.served if engine.name == "vllm")
    everywhere = tuple(sorted(set(everywhere))) if all(everywhere) else ()
    for scaler in scene.scalers:
        workload = scene.target(scaler)
        own = (
            tuple(e.version or "" for e in workload.engines if e.name == "vllm") if workload else ()
        )
        versions = (own if all(own) else ()) if workload else everywhere
        for signal in scaler.signals:
            if signal.query:
                yield Use(scaler.resource, signal.query_node, signal.query, versions)
    for resource in scene.resources:
        for node, expression in _expressions(resource):
            yield Use(resource, node, expression, everywhere)


def _expressions(resource: Resource) -> Iterator[tuple[Node, str]]:
    if resource.kind == "PrometheusRule":
        for group in resource.spec["groups"].each():
            for rule in group["rules"].each():
                yield rule["expr"], rule["expr"].text
    for node, text in _dashboards(resource):
        yield from ((_line(node, expression), expression) for expression in _panel_queries(text))


def _dashboards(resource: Resource) -> Iterator[tuple[Node, str]]:
    if resource.kind == "ConfigMap":
        for name, node in resource.root["data"].items():
            if name.endswith(".json"):
                yield node, node.text
    if resource.kind.startswith("Grafana") and resource.spec["json"]:
        yield resource.spec["json"], resource.spec["json"].text


def _panel_queries(text: str) -> list[str]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return list(dict.fromkeys(_found(data, 0)))


def _found(data: Any, depth: int) -> Iterator[str]:
    if depth > 50:  # noqa: PLR2004 - panels are a few levels deep
        return
    if isinstance(data, dict):
        for key, value in data.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from _found(value, depth + 1)
    elif isinstance(data, list):
        for value in data:
            yield from _found(value, depth + 1)


def _line(node: Node, expression: str) -> Node:
    """Return the line of a dashboard's text where a query stands."""
    start = expression.split("\n", maxsplit=1)[0][:40].replace('"', '\\"')
    before, found, _ = node.text.partition(start)
    return Node(expression, node.line + 1 + before.count("\n")) if found else node


def _gone(scene: Scene) -> Iterator[Hit]:
    for use in uses(scene):
        for name in metric_names(use.expression):
            span = life(name)
            if span is None or not use.versions or any(one in span for one in use.versions):
                continue
            version = ", ".join(use.versions)
            early = all(Version(one) < Version(span.since) for one in use.versions)
            when = f"it came with {span.since}" if early else _ended(span.gone, span.hidden, use)
            message = f"vLLM {version} has no {name}: {when}; instead: {span.instead}"
            yield Hit(use.resource, use.node, message, f"use {span.instead}")


def _ended(gone: str, hidden: str, use: Use) -> str:
    if any(Version(one) >= Version(gone) for one in use.versions):
        return f"gone since {gone}"
    return f"hidden since {hidden}"


GONE = Rule(
    id="HR601",
    severity="error",
    title="metric that the pinned image does not have",
    what="The panel is empty, the alert never fires, the scaler counts 0 and scales down.",
    fix="use the name of the pinned version",
    fact=Fact(
        "gpu_cache_usage_perc became kv_cache_usage_perc (both until 0.10, hidden in 0.11, gone"
        " 0.12);"
        " time_per_output_token_seconds became inter_token_latency_seconds (new 0.10.2, hidden"
        " 0.12,"
        " gone 0.15.1); throughput gauges were gone by 0.8.5.",
        "published wheels vllm 0.6.5 to 0.33.0; llm-d/llm-d#2473;"
        " vllm-project/production-stack#379",
    ),
    check=_gone,
)


def _ending(scene: Scene, *, pinned: bool) -> Iterator[Hit]:
    """Yield queries that the newest vLLM does not answer, where the files pin a version or not."""
    for use in uses(scene):
        for name in metric_names(use.expression):
            span = life(name)
            if span is None or NEWEST in span or bool(use.versions) is not pinned:
                continue
            if all(one in span for one in use.versions):
                end = min(span.gone, span.hidden, key=Version)
                now = f"vLLM {', '.join(use.versions)} has it, " if use.versions else ""
                message = f"{name}: {now}not exported from {end} on; instead: {span.instead}"
                yield Hit(use.resource, use.node, message, f"use {span.instead}")


def _will_go(scene: Scene) -> Iterator[Hit]:
    yield from _ending(scene, pinned=True)


WILL_GO = Rule(
    id="HR602",
    severity="note",
    title="metric that newer images do not have",
    what="After an upgrade of the image the query is empty, and nothing says so.",
    fix="change the query together with the image; `new or old` reads both",
    fact=GONE.fact,
    check=_will_go,
)


def _perhaps_gone(scene: Scene) -> Iterator[Hit]:
    yield from _ending(scene, pinned=False)


PERHAPS_GONE = Rule(
    id="HR604",
    severity="warning",
    title="metric that current vLLM does not have",
    what="No image with a version is given here; with a current one the query is empty.",
    fix="use the new name; `new or old` reads both",
    fact=GONE.fact,
    check=_perhaps_gone,
)


def _misspelt(scene: Scene) -> Iterator[Hit]:
    recorded = {
        rule["record"].text
        for one in scene.of_kind("PrometheusRule")
        for group in one.spec["groups"].each()
        for rule in group["rules"].each()
    }
    for use in uses(scene):
        for name in metric_names(use.expression):
            if name not in recorded and (meant := near(name)):
                message = f"no version of vLLM has {name}; did you mean {meant}?"
                yield Hit(use.resource, use.node, message)


MISSPELT = Rule(
    id="HR603",
    severity="error",
    title="misspelt metric",
    what="The query is empty for ever.",
    fix="write it as the engine does",
    fact=Fact("Every metric of vLLM 0.32.0, and those it has had since 0.6.5.", "vLLM 0.32.0"),
    check=_misspelt,
)
METRIC_RULES = (GONE, WILL_GO, PERHAPS_GONE, MISSPELT)
