"""Rules about what scales a deployment: signals that say nothing, or the opposite."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headrace.preflight.engine import TITLES
from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.metric_names import ENDED, WAITING, engine_of
from headrace.preflight.promql import averages, family, is_rate, many_series, matcher
from headrace.preflight.scalers import Scaler, Signal
from headrace.preflight.scene import Scene, near
from headrace.preflight.workload import Workload

_UTILIZATION = re.compile(
    r"DCGM_FI_DEV_(GPU_UTIL|MEM_COPY_UTIL|FB_USED|POWER_USAGE)|DCGM_FI_PROF_\w*ACTIVE"
    r"|(?<!:)\b(nvidia_)?gpu_?(util\w*|duty_cycle|memory_used\w*)|container_accelerator_\w+"
    r"|nvidia_smi_utilization\w*|container_cpu_usage\w*|container_memory_\w+",
    re.IGNORECASE,
)


def _utilization(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        if not scene.scales_engine(scaler):
            continue
        for signal in scaler.signals:
            if what := _utilized(signal):
                target = scaler.target["name"].text
                message = f"{target} scales on {what}, which does not grow with waiting requests"
                yield Hit(scaler.resource, signal.query_node, message)


def _utilized(signal: Signal) -> str | None:
    if signal.kind in ("cpu", "memory"):
        return f"{signal.kind.upper() if signal.kind == 'cpu' else signal.kind} utilisation"
    found = _UTILIZATION.search(signal.query)
    return found[0] if found else None


UTILIZATION = Rule(
    id="HR401",
    severity="error",
    title="scaling on CPU, memory or GPU utilisation",
    what="The queue grows while the CPU idles, and a GPU is as busy with one long answer as with a"
    " full batch: replicas do not follow the load.",
    fix="scale on waiting and running requests: of the router in front, or the engine's queue",
    fact=Fact(
        "An engine's worker waits for its GPU; the engine takes its share of GPU memory at start"
        " and"
        " keeps it; decode keeps a GPU active at any batch size.",
        "vLLM 0.32 config/cache.py (0.92 of the memory at start); roofline of decode",
    ),
    check=_utilization,
)


def _completions(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        if scaler.sleeps or not scene.scales_engine(scaler) or len(scaler.signals) != 1:
            continue
        signal = scaler.signals[0]
        names = {family(name) for name in signal.metrics}
        counted = names & {one for one in ENDED if "success" in one or "num_requests" in one}
        if counted and names == counted and is_rate(signal.query):
            message = (
                f"{', '.join(sorted(counted))} counts what ended: at capacity it stops growing"
                " while"
                " the queue grows, and one long answer looks like none"
            )
            yield Hit(scaler.resource, signal.query_node, message)


COMPLETIONS = Rule(
    id="HR402",
    severity="warning",
    title="completions as a measure of load",
    what="Replicas stop being added exactly when they are needed; requests that clients gave up"
    " count"
    " as success.",
    fix="scale on waiting plus running requests",
    fact=Fact(
        "vllm:request_success_total moves when a request ends, whatever its finished_reason, abort"
        " included.",
        "vLLM 0.32.0, measured; v1/metrics/loggers.py",
    ),
    check=_completions,
)


def _averages(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        for signal in scaler.signals:
            why = averages(signal.query) if signal.kind == "prometheus" else None
            kind = signal.node["metricType"].text or "AverageValue"
            if why is None or kind != "AverageValue" or scaler.high <= 1 or scaler.formula:
                continue
            if not any(engine_of(name) for name in signal.metrics):
                continue
            message = (
                f"the query is {why}, the same however many replicas there are, and KEDA divides by"
                f" their number: it wants ceil(value / {signal.metadata['threshold'].text or '?'})"
                f" replicas in all, which at the threshold is 1, also from {scaler.high}"
            )
            yield Hit(scaler.resource, signal.query_node, message)


AVERAGES = Rule(
    id="HR403",
    severity="error",
    title="average scaled as a total",
    what="An overloaded deployment is scaled down: at 5 replicas with an average queue of twice the"
    " threshold it is cut to 2.",
    fix="sum() over replicas, or metricType: Value for a mean or a quantile",
    fact=Fact(
        "KEDA's default is an External metric of type AverageValue: desired = ceil(total / target);"
        " type Value: ceil(current * value / target).",
        "Kubernetes 1.36.2 replica_calculator.go; KEDA documentation, metricType",
    ),
    check=_averages,
)


def _foreign(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        workload = scene.target(scaler)
        if workload is None or not workload.serving:
            continue
        have = {engine.name for engine in workload.engines}
        for signal in scaler.signals:
            asked = {engine_of(name) for name in signal.metrics} - {None}
            if asked and not asked & have:
                titles = [TITLES[name] for name in sorted(have)]
                message = (
                    f"{scaler.target['name'].text} runs {' and '.join(titles)}, which has no"
                    f" {', '.join(signal.metrics)}"
                )
                yield Hit(scaler.resource, signal.query_node, message)


FOREIGN = Rule(
    id="HR404",
    severity="error",
    title="metric of another engine",
    what="The query is empty, or follows another deployment's load.",
    fix="use the target's own metrics, or the router's in front of it",
    fact=Fact(
        "Queue depth is vllm:num_requests_waiting, sglang:num_queue_reqs, tgi_queue_size,"
        ' trtllm_num_requests_waiting, nv_trt_llm_request_metrics{request_type="waiting"}.',
        "engine sources, as of vLLM 0.33, SGLang 0.5.23, TGI 3.3.7",
    ),
    check=_foreign,
)


def _others(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        workload = scene.target(scaler)
        if workload is None or not workload.serving:
            continue
        for signal in scaler.signals:
            if signal.kind == "prometheus" and (message := _mixes(scene, scaler, workload, signal)):
                yield Hit(scaler.resource, signal.query_node, message)


def _mixes(scene: Scene, scaler: Scaler, workload: Workload, signal: Signal) -> str | None:
    engines = {engine_of(name) for name in signal.metrics} - {None}
    if not engines:
        return None
    namespace = matcher(signal.query, "namespace")
    own = workload.resource.namespace
    if namespace and namespace[0] == "=" and own and namespace[1] != own:
        return (
            f'namespace="{namespace[1]}" is not the namespace of'
            f" {scaler.target['name'].text}, {own}"
        )
    if (pod := matcher(signal.query, "pod")) and pod[0] == "=~":
        return _pods(pod[1], workload)
    if _narrow(signal.query):
        return None
    others = {
        one.resource.name
        for one, engine in scene.served
        if engine.name in engines
        and one.resource is not workload.resource
        and (near(one.resource, workload.resource) or not namespace)
    }
    if others:
        return (
            f"the query takes in {', '.join(sorted(others))} too: nothing in it names the"
            " target's Pods"
        )
    return None


def _pods(pattern: str, workload: Workload) -> str | None:
    name = workload.resource.name
    try:
        fits = re.fullmatch(pattern, f"{name}-6c9f7d5b8-x2x7q") or re.fullmatch(
            pattern, f"{name}-0"
        )
    except re.error:
        return None
    return None if fits else f'pod=~"{pattern}" matches no Pod of {name}'


def _narrow(query: str) -> bool:
    """Whether something beside the namespace says whose series are meant."""
    labels = re.findall(r"[{,]\s*([a-zA-Z_]\w*)\s*=~?\s*[\"'][^\"']", query)
    return bool(set(labels) - {"namespace", "engine", "__name__", "quantile", "le", "cluster"})


OTHERS = Rule(
    id="HR405",
    severity="warning",
    title="query that watches other Pods",
    what="One model's load scales another's deployment, or nothing does.",
    fix='add a matcher of the target, such as pod=~"NAME-.*" or model_name="…"',
    fact=Fact(
        "Each Pod exports its own series with model_name; Prometheus adds pod and namespace when it"
        " scrapes.",
        "vLLM 0.32.0 /metrics; Prometheus operator documentation",
    ),
    check=_others,
)


def _queues(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        if scaler.high <= max(scaler.low, 1) or not scaler.signals or scaler.formula:
            continue
        if all(_only_waiting(one) for one in scaler.signals):
            message = (
                "counts only what waits: a further replica empties the queue, is taken away again"
                f" after {scaler.window:.0f} s though its requests still come, and the queue is"
                " back"
            )
            yield Hit(scaler.resource, scaler.signals[0].query_node, message)


def _only_waiting(signal: Signal) -> bool:
    names = {family(name) for name in signal.metrics}
    return signal.kind == "prometheus" and bool(names) and names <= WAITING


QUEUES = Rule(
    id="HR406",
    severity="warning",
    title="queue depth as the only signal",
    what="Under a load that needs two replicas there are one and two in turns: each time requests"
    " wait for a cold start, and each time a stop cuts or moves answers.",
    fix="keep it, and add a trigger on waiting plus running requests (sum of both, threshold about"
    " three quarters of --max-num-seqs): it keeps what the queue brought",
    fact=Fact(
        "desired = ceil(total / target): an empty queue asks for none, however many requests run."
        " 60 clients at replicas of 32, with 3 waiting as the target: 1 to 2 and, with 60 running,"
        " back to 1 when the window was over.",
        "Kubernetes 1.36.2 replica_calculator.go; measured with engine twins under those rules",
    ),
    check=_queues,
)


def _several(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        for signal in scaler.signals:
            engines = [name for name in signal.metrics if engine_of(name)]
            asked = scaler.keda and signal.kind == "prometheus" and scaler.high > 1
            if asked and engines and many_series(signal.query):
                message = (
                    f"{engines[0]} has a series for each Pod and nothing makes them one: with a"
                    " second Pod KEDA gets an error instead of a number"
                )
                yield Hit(scaler.resource, signal.query_node, message)


SEVERAL = Rule(
    id="HR407",
    severity="error",
    title="query with several series",
    what="It works with one replica; from the second on nothing scales any more, up or down.",
    fix="sum(…) around it, without by (pod)",
    fact=Fact(
        "A result of more than one element is an error, whatever ignoreNullValues says"
        ' ("returned multiple elements").',
        "KEDA 8b4f083 prometheus_scaler.go ExecutePromQuery",
    ),
    check=_several,
)
SIGNAL_RULES = (UTILIZATION, COMPLETIONS, AVERAGES, FOREIGN, OTHERS, QUEUES, SEVERAL)
