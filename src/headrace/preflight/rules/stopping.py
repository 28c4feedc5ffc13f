"""Rules about stops and rollouts: what happens to answers that are under way."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from headrace.preflight.engine import Engine
from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.node import Node
from headrace.preflight.objects import matches
from headrace.preflight.scene import Scene, near
from headrace.preflight.workload import Workload

_SLEEP = re.compile(r"\bsleep\s+(\d+(?:\.\d+)?)\s*([smh]?)\b")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_WAITS = re.compile(
    r"num_requests|num_running|batch_current_size|/drain|in.?flight|\bload\b", re.IGNORECASE
)
_LONG_ANSWER = 30
"""Seconds that an answer of a thousand tokens takes at 33 tokens a second."""
_MARGIN = 5
"""Seconds that an engine needs to go after it has drained."""


@dataclass(frozen=True)
class Stop:
    """What a container does between the order to stop and SIGTERM."""

    seconds: float
    """Of sleep before SIGTERM."""
    waits: bool
    """It asks whether work is left, so it lasts as long as that."""


def pre_stop(container: Node) -> Stop:
    """Read the preStop hook."""
    hook = container.at("lifecycle", "preStop")
    if hook["sleep"]:
        return Stop(hook.at("sleep", "seconds").number or 0.0, waits=False)
    text = "\n".join(one.text for one in hook.at("exec", "command").each())
    text = re.sub(r"#[^\n]*", " ", text)
    waits = bool(_WAITS.search(text)) and ("while" in text or "until" in text)
    slept = sum(float(n) * _UNITS[unit] for n, unit in _SLEEP.findall(re.sub(r"\n", " ", text)))
    return Stop(slept, waits or bool(hook["httpGet"]))


def drains(engine: Engine) -> float | None:
    """Return the seconds that the engine goes on after SIGTERM, None if that is unknown.

    0: it cuts what is under way. inf: until nothing is left.
    """
    given = engine.arguments
    if engine.name == "vllm":
        asked = given.number("shutdown-timeout")
        old = engine.since("0.18") is False
        unknown = engine.opaque or given.has("config") or given.has("shutdown-timeout")
        return 0.0 if old else (asked if asked is not None else (None if unknown else 0.0))
    if engine.name == "tgi":
        return given.number("graceful-termination-timeout") or 90.0
    if engine.name == "triton":
        return given.number("exit-timeout-secs") or 30.0
    return math.inf


def _cut(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        stop = pre_stop(engine.container)
        if drains(engine) != 0 or stop.waits or stop.seconds >= _LONG_ANSWER:
            continue
        if not workload.answers(engine):
            continue
        node = engine.arguments.node("shutdown-timeout") or engine.container["image"]
        after = f" {stop.seconds:.0f} s after the order to stop" if stop.seconds else ""
        yield Hit(
            workload.resource,
            node,
            f"{_why(engine)}: every stop cuts all streams{after}",
            _mend(engine),
        )


def _why(engine: Engine) -> str:
    if engine.since("0.18") is False:
        return f"{engine.title} cannot drain"
    if engine.arguments.has("shutdown-timeout"):
        return "--shutdown-timeout is 0"
    since = "" if engine.version else " (and cannot before 0.18)"
    return f"{engine.title} drains for 0 s unless told otherwise{since}"


def _mend(engine: Engine) -> str:
    if engine.since("0.18") is False:
        return (
            "use vLLM 0.18 or newer with --shutdown-timeout, or a preStop hook that waits until"
            " vllm:num_requests_running is 0"
        )
    return "--shutdown-timeout 120, preStop sleep 15, terminationGracePeriodSeconds 145"


CUT = Rule(
    id="HR306",
    severity="error",
    title="a stop that cuts answers",
    what="On each scale-down, rollout and node drain the answers under way end in the middle, with"
    " HTTP 200 and finish_reason abort, or hang until the client gives up.",
    fix="vLLM 0.18 and newer: --shutdown-timeout N, a preStop sleep and a grace period above both",
    fact=Fact(
        "With the default of 0 one stream hung for 95 s, three ended in `abort` and one in an"
        " in-band"
        " error; with --shutdown-timeout 40 it ran to its end. Before 0.18 there is no drain.",
        "measured with vLLM 0.32.0; vllm-project/vllm#24885 and PR #36666",
    ),
    check=_cut,
)


def _grace(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        drain, stop = drains(engine), pre_stop(engine.container)
        if drain is None or not workload.answers(engine):
            continue
        endless = math.isinf(drain) or stop.waits
        needed = stop.seconds + (_LONG_ANSWER if endless else drain)
        if not needed or workload.grace > needed:
            continue
        node = workload.pod["terminationGracePeriodSeconds"]
        written = "" if node else " (the default)"
        message = (
            f"SIGKILL comes after {workload.grace} s{written}; preStop sleeps {stop.seconds:.0f}"
            " s, then"
            f" the engine drains {'until nothing is left' if endless else f'up to {drain:.0f} s'}"
        )
        least = math.ceil(stop.seconds + (120 if endless else drain) + _MARGIN)
        fix = f"set terminationGracePeriodSeconds to {least} or more"
        yield Hit(workload.resource, node or workload.pod["containers"], message, fix)


GRACE = Rule(
    id="HR307",
    severity="error",
    title="grace period shorter than the drain",
    what="The engine is killed while it still answers; the last streams end without a word.",
    fix="terminationGracePeriodSeconds above preStop plus drain",
    fact=Fact(
        "The grace period includes preStop and defaults to 30 s. TGI drains up to 90 s (2.4 fixed,"
        " 3.3 --graceful-termination-timeout), Triton 30 s, SGLang and trtllm-serve without a"
        " limit,"
        " vLLM as long as --shutdown-timeout says.",
        "vLLM PR #43208; kserve/kserve#5496; TGI launcher; sglang managers/tokenizer_manager.py",
    ),
    check=_grace,
)


def _unannounced(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        hook = engine.container.at("lifecycle", "preStop")
        if hook or drains(engine) in (None, 0.0) or not workload.answers(engine):
            continue
        if workload.resource.kind in ("Deployment", "StatefulSet", "LeaderWorkerSet"):
            message = (
                "no preStop: SIGTERM comes while Services and proxies still send requests here;"
                f" {_NEW_WORK.get(engine.name, 'new connections are refused')}"
            )
            yield Hit(workload.resource, engine.container["name"] or engine.container, message)


_NEW_WORK = {
    "vllm": "a draining vLLM answers them 200 with an empty text and finish_reason abort",
    "sglang": "SGLang takes them and stops under them",
}
UNANNOUNCED = Rule(
    id="HR311",
    severity="warning",
    title="SIGTERM without a pause before it",
    what="For the seconds until endpoints are updated everywhere, new requests reach an engine that"
    " is going.",
    fix="add preStop: sleep: seconds: 15, and that much to the grace period",
    fact=Fact(
        "During a drain /health stayed 200 and each new completion got 200 with no text and"
        " finish_reason abort; endpoints and SIGTERM are not ordered.",
        "measured with vLLM 0.32.0; Kubernetes documentation, Pod termination",
    ),
    check=_unannounced,
)


def _unavailable(scene: Scene) -> Iterator[Hit]:
    for workload in scene.serving:
        if workload.resource.kind != "Deployment":
            continue
        strategy = workload.resource.spec["strategy"]
        if strategy["type"].text == "Recreate":
            message = "Recreate stops every replica before the first new one has loaded its weights"
            yield Hit(workload.resource, strategy["type"], message)
            continue
        low, _ = scene.bounds(workload)
        gone = _resolved(strategy.at("rollingUpdate", "maxUnavailable"), max(low, 1), up=False)
        if gone > 0:
            node = strategy.at("rollingUpdate", "maxUnavailable")
            message = (
                f"a rollout takes {gone} of {max(low, 1)} replicas away before new ones are ready"
            )
            yield Hit(workload.resource, node, message)


def _resolved(node: Node, replicas: int, *, up: bool) -> int:
    """Return a count or a share of replicas; 25 % where nothing is written."""
    text = node.text or "25%"
    if not text.endswith("%"):
        return node.whole(0)
    share = Node(text[:-1], node.line).number or 0.0
    return (math.ceil if up else math.floor)(share * replicas / 100)


UNAVAILABLE = Rule(
    id="HR308",
    severity="warning",
    title="rollout that takes capacity away",
    what="For the minutes that new replicas load, the others carry everything, and queues grow.",
    fix="maxUnavailable: 0 and maxSurge: 1, with a free GPU for the extra Pod",
    fact=Fact(
        "With maxUnavailable 0 and maxSurge 1, probes and preStop a rolling update lost 0 of 619"
        " requests.",
        "measured on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_unavailable,
)


def _stuck(scene: Scene) -> Iterator[Hit]:
    for workload in scene.serving:
        rolling = workload.resource.spec.at("strategy", "rollingUpdate")
        if not rolling["maxSurge"] or not rolling["maxUnavailable"]:
            continue
        low = max(scene.bounds(workload)[0], 1)
        surge = _resolved(rolling["maxSurge"], low, up=True)
        if surge == 0 and _resolved(rolling["maxUnavailable"], low, up=False) == 0:
            message = (
                "maxSurge and maxUnavailable are both 0: the API server refuses the Deployment"
            )
            yield Hit(workload.resource, rolling["maxSurge"], message)
        elif surge and (lacking := _quota(scene, workload, surge)):
            yield Hit(workload.resource, rolling["maxSurge"], lacking)


def _quota(scene: Scene, workload: Workload, surge: int) -> str | None:
    """Return how a ResourceQuota of the files keeps the extra Pod out."""
    gpus = sum(workload.gpus(engine.container) or 0 for engine in workload.engines)
    _, most = scene.bounds(workload)
    for quota in scene.of_kind("ResourceQuota"):
        limit = quota.spec.at("hard", "requests.nvidia.com/gpu").number
        needed = (most + surge) * gpus
        if limit is not None and near(quota, workload.resource) and needed > limit:
            return (
                f"a rollout at {most} replicas needs {needed} GPUs, the quota {quota.name} allows"
                f" {limit:.0f}: the extra Pod stays Pending and the rollout stands still"
            )
    return None


STUCK = Rule(
    id="HR309",
    severity="error",
    title="rollout that cannot begin",
    what="Nothing may go before a new Pod is ready, and no new Pod may come:"
    " ProgressDeadlineExceeded.",
    fix="leave room for maxSurge Pods: fewer replicas at most, or a larger quota; else"
    " maxUnavailable 1",
    fact=Fact(
        "With all GPUs in use, maxUnavailable 0 with maxSurge 1 deadlocks; serving goes on and"
        " `rollout undo` recovers.",
        "seen on Kubernetes 1.35; Kubernetes API, RollingUpdateDeployment",
    ),
    check=_stuck,
)


def _budgets(scene: Scene) -> Iterator[Hit]:
    for budget in scene.of_kind("PodDisruptionBudget"):
        selected = [
            one
            for one in scene.workloads
            if near(one.resource, budget) and matches(budget.spec["selector"], one.labels)
        ]
        if not selected and scene.workloads:
            message = "selects no Pod template of these files"
            yield Hit(budget, budget.spec["selector"], message, "copy the Pod template's labels")
        node = budget.spec["minAvailable"] or budget.spec["maxUnavailable"]
        for workload in selected:
            if workload.serving and (blocked := _blocks(scene, workload, budget.spec)):
                yield Hit(budget, node, blocked)


def _blocks(scene: Scene, workload: Workload, spec: Node) -> str | None:
    low = max(scene.bounds(workload)[0], 1)
    least, gone = spec["minAvailable"], spec["maxUnavailable"]
    if gone and _resolved(gone, low, up=True) == 0:
        return "maxUnavailable 0 allows no eviction, ever"
    if least and _resolved(least, low, up=True) >= low:
        return f"minAvailable {least.text} of {low} replicas allows no eviction"
    return None


BUDGETS = Rule(
    id="HR310",
    severity="warning",
    title="disruption budget that blocks or protects nothing",
    what="Node drains, upgrades and the cluster autoscaler wait for ever for this Pod; or, where it"
    " selects nothing, all replicas may go at once.",
    fix="maxUnavailable: 1, which lets one go at a time whatever the number of replicas",
    fact=Fact(
        "The eviction API refuses while an eviction would go below the budget.",
        "Kubernetes documentation, disruptions",
    ),
    check=_budgets,
)
STOPPING_RULES = (CUT, GRACE, UNAVAILABLE, STUCK, BUDGETS, UNANNOUNCED)
