"""Rules about scalers as objects: targets, bounds, what happens when a metric is missing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.metric_names import engine_of
from headrace.preflight.promql import undefined_at_rest
from headrace.preflight.scalers import Scaler
from headrace.preflight.scene import Scene, near

_SCALABLE = ("Deployment", "StatefulSet", "LeaderWorkerSet")
_TRIGGER_KEYS = (
    "serverAddress", "query", "threshold", "activationThreshold", "namespace", "customHeaders",
    "ignoreNullValues", "unsafeSsl", "queryParameters", "authModes", "timeout", "metricName",
)  # fmt: skip

_SILENT = 'ignoreNullValues: "false" on triggers that read engines, with a fallback'
_AT_REST = (
    "make it 0 at rest: `(…) >= 0 or 0 * sum(vllm:num_requests_running{…})`, which drops NaN and"
    " still is empty where nobody is scraped"
)


def _nulls(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        for signal in scaler.signals:
            known = signal.metrics and all(engine_of(name) for name in signal.metrics)
            if signal.kind != "prometheus" or not known:
                continue
            asked = signal.metadata["ignoreNullValues"]
            if asked.text.lower() == "false" and "vector(0)" not in signal.query.replace(" ", ""):
                continue
            why = "`or vector(0)` makes" if asked.text.lower() == "false" else "KEDA counts"
            message = f"{why} an empty result 0: a scrape that fails looks like an idle model"
            fix = f"{_SILENT}; {_AT_REST}" if undefined_at_rest(signal.query) else ""
            yield Hit(scaler.resource, asked or signal.query_node, message, fix)


NULLS = Rule(
    id="HR421",
    severity="warning",
    title="silence taken for idleness",
    what="When Prometheus loses the Pods, or a metric is renamed, a loaded deployment is scaled"
    " down.",
    fix=_SILENT,
    fact=Fact(
        "An empty result counts as 0 by default and scaled 3 to 1; with ignoreNullValues false"
        " it is"
        " an error and the HPA holds.",
        "measured on Kubernetes 1.35 with KEDA 2.20.2; kedacore/keda#3065",
    ),
    check=_nulls,
)


def _undefined(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        for signal in scaler.signals:
            known = signal.metrics and all(engine_of(name) for name in signal.metrics)
            strict = signal.metadata["ignoreNullValues"].text.lower() == "false"
            if known and strict and scaler.low < scaler.high and undefined_at_rest(signal.query):
                message = (
                    "while nothing is generated it is NaN, which is an error here: the HPA keeps"
                    " the count, and what the load brought stays when the load is gone"
                )
                yield Hit(scaler.resource, signal.query_node, message)


UNDEFINED = Rule(
    id="HR428",
    severity="warning",
    title="idleness taken for an error",
    what="The replicas of the busiest hour are paid for all night.",
    fix=_AT_REST,
    fact=Fact(
        "A quantile or a mean of nothing is NaN; with ignoreNullValues false KEDA makes an error of"
        " it, and an HPA with an error among its metrics never lowers the count.",
        "KEDA 8b4f083 prometheus_scaler.go; Kubernetes 1.36.2 horizontal.go",
    ),
    check=_undefined,
)


def _fallback(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        fallback = scaler.spec["fallback"]
        replicas = fallback["replicas"].number
        behavior = fallback["behavior"].text or "static"
        if replicas is None or not scene.scales_engine(scaler) or replicas >= scaler.high:
            continue
        if behavior in ("static", "currentReplicasIfLower"):
            message = (
                f"when Prometheus fails, {scaler.target['name'].text} gets {replicas:.0f}"
                " replicas, also"
                f" from {scaler.high}"
            )
            yield Hit(scaler.resource, fallback["replicas"], message)


FALLBACK = Rule(
    id="HR422",
    severity="warning",
    title="fallback that lowers",
    what="Losing the metric under load takes replicas away.",
    fix="behavior: currentReplicasIfHigher; KEDA before 2.17 has no behavior: there replicas is the"
    " maximum",
    fact=Fact(
        "fallback replaces the metric: replicas 2 cut 3 to 2; currentReplicasIfHigher held.",
        "measured on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_fallback,
)


def _dead(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        if not scaler.keda or scaler.sleeps or not scene.scales_engine(scaler):
            continue
        nodes = [scaler.spec[name] for name in ("cooldownPeriod", "initialCooldownPeriod")]
        cached = any(one.node["useCachedMetrics"].true for one in scaler.signals)
        nodes += [] if cached else [scaler.spec["pollingInterval"]]
        nodes += [one.metadata["activationThreshold"] for one in scaler.signals]
        written = [node for node in nodes if node]
        if written:
            message = (
                f"does nothing while minReplicaCount is {scaler.low}: KEDA acts only between 0"
                " and 1,"
                f" above that it is the HPA (every 15 s, down after {scaler.window:.0f} s)"
            )
            yield Hit(scaler.resource, min(written, key=lambda node: node.line), message)


DEAD = Rule(
    id="HR423",
    severity="note",
    title="setting that does nothing",
    what="cooldownPeriod, pollingInterval and activationThreshold do not slow or start anything"
    " here.",
    fix="use horizontalPodAutoscalerConfig.behavior for going down, threshold for going up",
    fact=Fact(
        "The operator's loop acts on 0 to min only; N to 1 is the HPA's stabilization window.",
        "KEDA 8b4f083 scale_handler.go; kedacore/keda#6844",
    ),
    check=_dead,
)


def _rivals(scene: Scene) -> Iterator[Hit]:
    seen: list[Scaler] = []
    for scaler in scene.scalers:
        rival = next((one for one in seen if _same_target(one, scaler)), None)
        if rival:
            message = (
                f"{rival.resource.title} scales {scaler.target_kind}"
                f" {scaler.target['name'].text} too"
                f" ({rival.resource.file}:{rival.resource.root.line})"
            )
            yield Hit(scaler.resource, scaler.target["name"], message)
        seen.append(scaler)


def _same_target(one: Scaler, other: Scaler) -> bool:
    """Whether different scalers have one target; one scaler in two overlays is no rival."""
    named = one.target["name"].text == other.target["name"].text
    copies = (
        one.resource.name == other.resource.name
        and one.resource.kind == other.resource.kind
        and one.resource.file != other.resource.file
    )
    kinds = one.target_kind == other.target_kind
    return named and kinds and near(one.resource, other.resource) and not copies


RIVALS = Rule(
    id="HR424",
    severity="error",
    title="two scalers on one target",
    what="KEDA refuses the second ScaledObject; an HPA of your own is not refused, and both write"
    " replicas in turn.",
    fix="one ScaledObject with several triggers: the highest wins",
    fact=Fact(
        "KEDA's admission rejects a second ScaledObject on one target; a plain HPA on a target that"
        " KEDA manages is not blocked.",
        "seen on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_rivals,
)


def _targets(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        name = scaler.target["name"].text
        if scaler.target_kind not in _SCALABLE or scene.target(scaler) or not scene.workloads:
            continue
        message = f"no {scaler.target_kind} {name} in these files"
        names = [one.resource.name for one in scene.workloads]
        close = difflib.get_close_matches(name, names, n=1)
        fix = f"did you mean {close[0]}?" if close else ""
        yield Hit(scaler.resource, scaler.target["name"], message, fix)


TARGETS = Rule(
    id="HR425",
    severity="error",
    title="scaler without a target",
    what="The ScaledObject is accepted and scales nothing.",
    fix="name a Deployment, StatefulSet or LeaderWorkerSet of the same namespace",
    fact=Fact(
        "KEDA accepts a ScaledObject whose target does not exist.",
        "seen on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_targets,
)


def _replicas(scene: Scene) -> Iterator[Hit]:
    for workload in scene.workloads:
        written = workload.resource.spec["replicas"]
        if written and workload.serving and scene.scalers_of(workload):
            message = f"replicas: {written.text} is applied again with every change of this file"
            yield Hit(workload.resource, written, message)


REPLICAS = Rule(
    id="HR426",
    severity="warning",
    title="replicas beside a scaler",
    what="Each apply sets the count back, and answers on the replicas that go are cut.",
    fix="leave replicas out where something scales it",
    fact=Fact(
        "Re-applying a Deployment that says replicas: 1 dropped 3 to 1 until the next sync.",
        "measured on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_replicas,
)


def _misspelt(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        for signal in scaler.signals:
            if signal.kind != "prometheus" or not scaler.keda:
                continue
            for key, node in signal.metadata.items():
                if key in _TRIGGER_KEYS:
                    continue
                close = difflib.get_close_matches(key, _TRIGGER_KEYS, n=1, cutoff=0.8)
                if close:
                    message = f"KEDA knows no {key} and ignores it; did you mean {close[0]}?"
                    yield Hit(scaler.resource, node, message)


MISSPELT = Rule(
    id="HR427",
    severity="error",
    title="misspelt trigger field",
    what="The trigger works with a default, or not at all.",
    fix="write it as KEDA does",
    fact=Fact(
        "KEDA's admission accepts a misspelt trigger field.",
        "seen on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_misspelt,
)
SCALING_RULES = (NULLS, UNDEFINED, FALLBACK, DEAD, RIVALS, TARGETS, REPLICAS, MISSPELT)
