"""Rules about Services and monitors: names, labels and ports that have to agree across objects."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from headrace.preflight.engine import Engine
from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.model import asked_length
from headrace.preflight.node import Node
from headrace.preflight.objects import Resource, matches, same_namespace
from headrace.preflight.scene import Scene, near
from headrace.preflight.workload import Workload

_METRICS_PATHS = {"trtllm": "/prometheus/metrics"}


def _selectors(scene: Scene) -> Iterator[Hit]:
    for service in scene.of_kind("Service"):
        selector = service.spec["selector"]
        around = [one for one in scene.workloads if near(one.resource, service)]
        if not selector.labels() or not around or scene.selected(service):
            continue
        if _made_elsewhere(selector):
            continue
        wanted = ", ".join(f"{key}={value}" for key, value in selector.labels().items())
        names = [one.resource.name for one in around]
        close = difflib.get_close_matches(service.name, names, n=1)
        fix = f"copy the labels of {close[0]}'s Pod template" if close else ""
        yield Hit(service, selector, f"no Pod template of these files has {wanted}", fix)


def _made_elsewhere(selector: Node) -> bool:
    """Whether an operator makes the Pods, so that their labels are in no file."""
    keys = selector.labels().keys()
    return any(key.startswith(("serving.k", "ray.io", "statefulset.kubernetes.io")) for key in keys)


SELECTORS = Rule(
    id="HR501",
    severity="error",
    title="Service that selects nothing",
    what="Every request to it is refused.",
    fix="make the selector equal to labels of the Pod template",
    fact=Fact(
        "Names that must agree across objects and fail silently are among the most reported"
        " problems.",
        "llm-d/llm-d#2107",
    ),
    check=_selectors,
)


def _ports(scene: Scene) -> Iterator[Hit]:
    for service in scene.of_kind("Service"):
        workloads = scene.selected(service)
        for port in service.spec["ports"].each():
            for workload in workloads:
                if message := _unserved(workload, port):
                    yield Hit(service, port["targetPort"] or port["port"], message)
                    break


def _unserved(workload: Workload, port: Node) -> str | None:
    target = port["targetPort"] or port["port"]
    declared = {
        one["name"].text: one["containerPort"].whole(0)
        for container in workload.pod["containers"].each()
        for one in container["ports"].each()
    }
    if target.number is None:
        if target.text in declared:
            return None
        return f"no container of {workload.resource.name} has a port named {target.text}"
    number = int(target.number)
    if len(list(workload.pod["containers"].each())) != 1 or len(workload.engines) != 1:
        return None
    engine = workload.engines[0]
    if engine.port is None or number == engine.port or engine.name == "triton":
        return None
    if engine.name == "tgi" and number == (engine.arguments.number("prometheus-port") or 9000):
        return None
    return f"{engine.title} of {workload.resource.name} listens on {engine.port}, not on {number}"


SERVICE_PORTS = Rule(
    id="HR502",
    severity="error",
    title="Service port where nobody listens",
    what="Connections are refused, or the Service has no endpoints for the port.",
    fix="use the container port's name as targetPort, and the engine's --port as containerPort",
    fact=Fact(
        "A named targetPort is looked up in the Pod; where no container has it the port has no"
        " endpoints.",
        "Kubernetes documentation, Services",
    ),
    check=_ports,
)


def _monitors(scene: Scene) -> Iterator[Hit]:
    for monitor in scene.of_kind("ServiceMonitor"):
        around = [one for one in scene.of_kind("Service") if _watches(monitor, one)]
        found = [one for one in around if matches(monitor.spec["selector"], one.labels)]
        if around and not found:
            yield _nothing(monitor, "Service", [one.labels for one in around])
    for monitor in scene.of_kind("PodMonitor"):
        templates = [one for one in scene.workloads if _watches(monitor, one.resource)]
        chosen = [one for one in templates if matches(monitor.spec["selector"], one.labels)]
        if templates and not chosen:
            yield _nothing(monitor, "Pod template", [one.labels for one in templates])


def _nothing(monitor: Resource, what: str, seen: list[dict[str, str]]) -> Hit:
    wanted = monitor.spec.at("selector", "matchLabels").labels()
    words = ", ".join(f"{key}={value}" for key, value in wanted.items()) or "its selector"
    bare = (
        " (it looks at the Service's own labels, not at its selector)" if what == "Service" else ""
    )
    none = " None has any label." if seen and not any(seen) else ""
    message = f"no {what} of these files has {words}{bare}.{none}"
    return Hit(monitor, monitor.spec["selector"], message)


def _watches(monitor: Resource, other: Resource) -> bool:
    namespaces = monitor.spec["namespaceSelector"]
    if namespaces["any"].true:
        return True
    names = {one.text for one in namespaces["matchNames"].each()} or {monitor.namespace}
    return any(same_namespace(name, other.namespace) for name in names)


MONITORS = Rule(
    id="HR503",
    severity="error",
    title="monitor that matches nothing",
    what="Nothing is scraped: dashboards are empty and scalers see 0.",
    fix="label the Service as the ServiceMonitor selects, or use a PodMonitor on the Pods' labels",
    fact=Fact(
        "A ServiceMonitor selects Services by metadata.labels.",
        "Prometheus operator API, ServiceMonitorSpec.selector",
    ),
    check=_monitors,
)


def _monitor_ports(scene: Scene) -> Iterator[Hit]:
    for monitor in scene.of_kind("ServiceMonitor"):
        around = [one for one in scene.of_kind("Service") if _watches(monitor, one)]
        services = [one for one in around if matches(monitor.spec["selector"], one.labels)]
        # where labels do not match either, a port name that no Service has is a second mistake
        asked = services or around
        names = {port["name"].text for one in asked for port in one.spec["ports"].each()} - {""}
        whose = "Service" if services else "Services here"
        yield from _endpoints(monitor, "endpoints", bool(asked), names, whose)
        workloads = [work for one in services for work in scene.selected(one)]
        yield from _paths(monitor, "endpoints", workloads)
    for monitor in scene.of_kind("PodMonitor"):
        chosen = [
            one
            for one in scene.workloads
            if _watches(monitor, one.resource) and matches(monitor.spec["selector"], one.labels)
        ]
        ports = {
            port["name"].text
            for one in chosen
            for container in one.pod["containers"].each()
            for port in container["ports"].each()
        } - {""}
        yield from _endpoints(monitor, "podMetricsEndpoints", bool(chosen), ports, "container")
        yield from _paths(monitor, "podMetricsEndpoints", chosen)


def _endpoints(
    monitor: Resource, key: str, found: bool, names: set[str], whose: str
) -> Iterator[Hit]:
    for endpoint in monitor.spec[key].each():
        port = endpoint["port"]
        if found and port and port.text not in names:
            have = f"names are {', '.join(sorted(names))}" if names else "its ports have no names"
            yield Hit(monitor, port, f"no port of the {whose} is named {port.text}: {have}")


def _paths(monitor: Resource, key: str, workloads: list[Workload]) -> Iterator[Hit]:
    for endpoint in monitor.spec[key].each():
        path = endpoint["path"].text or "/metrics"
        for engine in (engine for one in workloads for engine in one.engines):
            wanted = _METRICS_PATHS.get(engine.name)
            if wanted and path != wanted:
                message = f"{engine.title} has its Prometheus metrics at {wanted}, not at {path}"
                yield Hit(monitor, endpoint["path"] or endpoint, message, f"path: {wanted}")
                return


MONITOR_PORTS = Rule(
    id="HR504",
    severity="error",
    title="monitor on a port or path without metrics",
    what="Nothing is scraped, and Prometheus shows no target at all for a port name that is not"
    " there.",
    fix="give the port a name and use it here; trtllm-serve's path is /prometheus/metrics",
    fact=Fact(
        "A monitor names ports, not numbers; trtllm-serve's /metrics is JSON.",
        "Prometheus operator API, Endpoint.port; tensorrt_llm/serve/openai_server.py",
    ),
    check=_monitor_ports,
)


def _variants(scene: Scene) -> Iterator[Hit]:
    for service in scene.of_kind("Service"):
        variants: dict[tuple[str, ...], str] = {}
        for workload in scene.selected(service):
            for engine in workload.engines if workload.serving else ():
                if engine.model and not engine.arguments.has("kv-transfer-config"):
                    variants.setdefault(_variant(engine), workload.resource.name)
        if len(variants) > 1:
            words = "; ".join(
                f"{name} ({', '.join(filter(None, key))})" for key, name in variants.items()
            )
            message = f"sends each request to any of {len(variants)} variants: {words}"
            yield Hit(service, service.spec["selector"], message)


def _variant(engine: Engine) -> tuple[str, ...]:
    length = asked_length(engine)
    return (
        engine.model or "",
        engine.arguments.value("quantization") or "",
        f"{length:,} tokens" if length else "",
    )


VARIANTS = Rule(
    id="HR505",
    severity="error",
    title="several model variants behind one Service",
    what="Answers, limits and latencies change from request to request, a request for the other"
    " model"
    " gets 404, and one queue hides both loads from the scaler.",
    fix="one Service for each variant, with explicit routes in front",
    fact=Fact(
        "A Service balances connections over all Pods it selects; an engine answers 404 for a model"
        " name it does not serve.",
        "Kubernetes documentation, Services; vLLM OpenAI server",
    ),
    check=_variants,
)


def _twice(scene: Scene) -> Iterator[Hit]:
    seen: dict[tuple[str, ...], Resource] = {}
    for one in scene.resources:
        key = (one.file, one.group, one.kind, one.namespace, one.name)
        first = seen.setdefault(key, one)
        if first is not one and one.name and first.root.plain() != one.root.plain():
            message = f"the same object stands at line {first.root.line} too, with other contents"
            yield Hit(one, one.root.at("metadata", "name"), message)


TWICE = Rule(
    id="HR506",
    severity="error",
    title="one object written twice",
    what="The later one replaces the earlier one.",
    fix="rename one of them",
    fact=Fact(
        "An object is its group, kind, namespace and name; applying again replaces fields.",
        "Kubernetes documentation, object names",
    ),
    check=_twice,
)
SERVICE_RULES = (SELECTORS, SERVICE_PORTS, MONITORS, MONITOR_PORTS, VARIANTS, TWICE)
