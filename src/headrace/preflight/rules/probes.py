"""Rules about probes: who is called ready, and who is killed while it loads."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.preflight.engine import Engine
from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.model import architecture, cold_start
from headrace.preflight.node import Node
from headrace.preflight.scene import Scene
from headrace.preflight.workload import Workload

_ALIVE_ONLY = {"triton": ("/v2/health/live",), "sglang": ("/ping",)}
"""Paths that answer before the models are loaded."""
_NO_QUESTION = {"true", "ls", "cat", "test", "pgrep", "ps", "pidof", "echo", "["}
_UNTIL_LOADED = {"vllm", "tgi"}
"""Engines that open their port only after the weights are loaded."""


def _missing(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        container = engine.container
        if container["readinessProbe"] or not _fronts(workload, engine):
            continue
        if scene.services_of(workload) or workload.resource.kind in ("Deployment", "StatefulSet"):
            message = "no readinessProbe: the Pod counts as ready while its weights are loading"
            yield Hit(workload.resource, container["name"] or container, message)


def _fronts(workload: Workload, engine: Engine) -> bool:
    """Whether a Pod answers HTTP itself: no worker of a leader, and a container of its own."""
    kind = workload.resource.kind
    return workload.answers(engine) and kind not in ("RayService", "RayCluster", "MPIJob")


MISSING = Rule(
    id="HR301",
    severity="error",
    title="no readiness probe",
    what="A new Pod gets requests for minutes before it can answer, and each of them fails;"
    " maxUnavailable: 0 protects nothing, because the new Pod counts at once.",
    fix="add a readinessProbe on the engine's health path, and a startupProbe that allows for"
    " loading",
    fact=Fact(
        "A rolling update without probes and preStop failed 133 of 297 requests; with them 0 of"
        " 619.",
        "measured on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_missing,
)


def _blind(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        probe = engine.container["readinessProbe"]
        if probe and (message := _does_not_know(engine, probe)):
            yield Hit(workload.resource, probe, message)


def _does_not_know(engine: Engine, probe: Node) -> str | None:
    path = probe.at("httpGet", "path").text
    command = [one.text for one in probe.at("exec", "command").each()]
    if command and command[0].rpartition("/")[2] in _NO_QUESTION:
        return f"`{' '.join(command)[:60]}` succeeds whether or not the model is loaded"
    if path in _ALIVE_ONLY.get(engine.name, ()):
        return f"{path} answers as soon as the process runs, before the model is loaded"
    if probe["tcpSocket"] and engine.name not in _UNTIL_LOADED:
        return f"{engine.title} accepts connections before the model is loaded"
    if engine.name == "sglang" and _trivial(engine) and path in ("/health", "/health_generate"):
        return "with SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION=0 /health asks the engine nothing"
    return None


def _trivial(engine: Engine) -> bool:
    value = engine.env.get("SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION", "1").lower()
    return value in ("0", "false")


BLIND = Rule(
    id="HR302",
    severity="error",
    title="readiness that cannot know the model is loaded",
    what="Requests arrive at a Pod that is still loading, and fail or wait.",
    fix="vLLM, TGI, trtllm-serve: httpGet /health; SGLang: /ready; Triton: /v2/health/ready with"
    " --strict-readiness",
    fact=Fact(
        "vLLM opens its port after the weights are loaded, so /health tells that; Triton's live"
        " path"
        " and newer trtllm-serve's port answer before.",
        "vLLM 0.6.5 to 0.33; triton server 2.51; tensorrt_llm/serve/lifecycle.py",
    ),
    check=_blind,
)


def _ports(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if engine.port is None or engine.name == "triton":
            continue
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = engine.container.at(kind, "httpGet", "port")
            number = _number(port, engine.container)
            if port and number != engine.port:
                named = f" ({number})" if number is not None and number != port.number else ""
                message = f"the {kind} asks port {port.text}{named}, the engine is on {engine.port}"
                yield Hit(workload.resource, port, message)


def _number(port: Node, container: Node) -> int | None:
    if port.number is not None:
        return int(port.number)
    ports = container["ports"].each()
    found = (one["containerPort"].whole(0) for one in ports if one["name"].text == port.text)
    return next(found, None)


PORTS = Rule(
    id="HR303",
    severity="error",
    title="probe on a port where nobody answers",
    what="The Pod never becomes ready, or is killed over and over.",
    fix="name the container's port, and probe it by that name",
    fact=Fact(
        "vLLM and trtllm-serve listen on 8000, SGLang on 30000, TGI's image on 80, unless --port"
        " says"
        " otherwise.",
        "engine sources, as of vLLM 0.33, SGLang 0.5.23, TGI 3.3.7",
    ),
    check=_ports,
)


def _killed(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        container, needed = engine.container, cold_start(engine)
        startup, liveness = container["startupProbe"], container["livenessProbe"]
        probe = startup or liveness
        allowed = _allowance(probe) if probe else None
        if allowed is None or allowed >= needed:
            continue
        name = "startupProbe" if startup else "livenessProbe"
        known = " of this model" if architecture(engine) else ""
        message = (
            f"the {name} kills the container after {allowed:.0f} s, a start{known} takes at least"
            f" {needed:.0f} s"
        )
        yield Hit(workload.resource, probe, message)


def _allowance(probe: Node) -> float:
    """Return the seconds after which a container that does not answer is killed."""
    failures, period = probe["failureThreshold"].whole(3), probe["periodSeconds"].whole(10)
    return probe["initialDelaySeconds"].whole(0) + failures * period


KILLED = Rule(
    id="HR304",
    severity="error",
    title="killed while it loads",
    what="The container is restarted before its weights are loaded, again and again.",
    fix="add a startupProbe with failureThreshold * periodSeconds of several times a measured"
    " start;"
    " liveness begins after it",
    fact=Fact(
        "A start of an 8B model was 277 s: 16 s process, 18 s weights, 43 s compilation, 200 s"
        " profiling and warm-up. The least that is assumed here is 60 s and a second for each GB.",
        "vllm-project/vllm#44881; Kubernetes documentation, probes",
    ),
    check=_killed,
)


def _hasty(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if engine.name != "sglang" or _trivial(engine):
            continue
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = engine.container[kind]
            path = probe.at("httpGet", "path").text
            if path in ("/health", "/health_generate") and probe["timeoutSeconds"].whole(1) <= 1:
                message = f"the {kind} waits 1 s for {path}, which takes more than 1 s by design"
                yield Hit(workload.resource, probe, message)


HASTY = Rule(
    id="HR305",
    severity="error",
    title="probe that gives up before SGLang can answer",
    what="Every probe fails: the Pod never becomes ready, or is killed.",
    fix="timeoutSeconds: 25 (it waits up to 20 s for the scheduler), or readiness on /ready",
    fact=Fact(
        "/health sends a one-token request and sleeps at least 1 s before it looks for the result.",
        "sglang 0.5.23 entrypoints/http_server.py",
    ),
    check=_hasty,
)
PROBE_RULES = (MISSING, BLIND, PORTS, KILLED, HASTY)
