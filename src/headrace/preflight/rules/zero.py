"""Rules about zero: who wakes a sleeping model, and what puts a busy one to sleep."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.metric_names import ENDED, WAITING, engine_of
from headrace.preflight.model import cold_start
from headrace.preflight.promql import family, longest_range
from headrace.preflight.scalers import COOLDOWN, Scaler, Signal
from headrace.preflight.scene import Scene

_SYNCS = 30
"""Seconds of two HPA syncs."""


def _sleepers(scene: Scene) -> Iterator[Scaler]:
    return (one for one in scene.scalers if one.sleeps and scene.scales_engine(one) and one.signals)


def from_pods(signal: Signal) -> bool:
    """Whether everything that a trigger reads is emitted by the engine's own Pods."""
    if signal.kind in ("cpu", "memory"):
        return True
    return (
        signal.kind == "prometheus"
        and bool(signal.metrics)
        and all(engine_of(name) for name in signal.metrics)
    )


def _never(scene: Scene) -> Iterator[Hit]:
    for scaler in _sleepers(scene):
        if all(from_pods(one) for one in scaler.signals):
            first = scaler.signals[0]
            names = ", ".join(first.metrics) or first.kind
            message = (
                f"at 0 replicas nothing emits {names}: the query is empty, counts as 0, and"
                f" {scaler.target['name'].text} never wakes"
            )
            yield Hit(scaler.resource, first.query_node, message)


NEVER = Rule(
    id="HR411",
    severity="error",
    title="trigger that can never wake from zero",
    what="Once asleep the model stays asleep: every request fails, and nothing says why.",
    fix="trigger on demand that is seen in front of the model: the gateway's held and running"
    " requests"
    " (an external scaler, or its metric with `or vector(0)`); or minReplicaCount: 1",
    fact=Fact(
        "No Pods, no series; sum() of nothing is empty; ignoreNullValues (default true) makes it 0;"
        " active means value > activationThreshold; 0 > 0 is false. With ignoreNullValues false"
        " it is"
        " an error, which does not wake it either.",
        "KEDA 8b4f083 prometheus_scaler.go, scale_scaledobjects.go; kedacore/keda#6040",
    ),
    check=_never,
)


def _busy(scene: Scene) -> Iterator[Hit]:
    for scaler in _sleepers(scene):
        if not all(_blind_to_work(one) for one in scaler.signals):
            continue
        first = scaler.signals[0]
        names = {family(name) for name in first.metrics}
        what = (
            "counts only what waits"
            if names & WAITING
            else "moves only when a request begins or ends"
        )
        if first.kind in ("cpu", "memory"):
            what = "says nothing about requests"
        blind = scaler.cooldown + longest_range(first.query)
        message = (
            f"{', '.join(first.metrics) or first.kind} {what}: {blind:.0f} s of long answers"
            " look idle, and KEDA goes straight to 0"
        )
        yield Hit(scaler.resource, first.query_node, message)


def _blind_to_work(signal: Signal) -> bool:
    if signal.kind in ("cpu", "memory"):
        return True
    names = {family(name) for name in signal.metrics}
    return signal.kind == "prometheus" and bool(names) and names <= (WAITING | ENDED)


BUSY = Rule(
    id="HR412",
    severity="error",
    title="trigger that puts a busy model to sleep",
    what="Requests that are being answered are cut when the last replica goes.",
    fix="count what is running too: sum(vllm:num_requests_running) +"
    " sum(vllm:num_requests_waiting),"
    " better the gateway's own count",
    fact=Fact(
        "With minReplicaCount 0 a value at or below activation scales from N to 0 after"
        " cooldownPeriod, past all HPA policies.",
        "seen on Kubernetes 1.35 with KEDA 2.20.2; kedacore/keda#7770",
    ),
    check=_busy,
)


def _activation(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        for signal in scaler.signals if scaler.sleeps and not scaler.formula else ():
            start = signal.metadata["activationThreshold"]
            target = signal.metadata["threshold"].number
            if start.number is not None and target is not None and start.number > target:
                message = (
                    f"activation above {start.text}, target {target:g} for each replica: at"
                    f" {target:g} to {start.text} KEDA scales to 0 what the HPA wants to keep"
                )
                yield Hit(scaler.resource, start, message)


ACTIVATION = Rule(
    id="HR413",
    severity="error",
    title="activation above the threshold",
    what="A loaded deployment goes to 0 after the cooldown.",
    fix="activationThreshold: 0",
    fact=Fact(
        "With min 0, a value at or below activation goes to 0 after the cooldown even when the HPA"
        " wants 2; activation is strictly greater.",
        "seen on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_activation,
)


def _cooldown(scene: Scene) -> Iterator[Hit]:
    for scaler in _sleepers(scene):
        workload = scene.target(scaler)
        start = (
            max((cold_start(engine) for engine in workload.engines), default=0) if workload else 0
        )
        written = "" if scaler.spec["cooldownPeriod"] else " (the default)"
        node = scaler.spec["cooldownPeriod"] or scaler.spec
        if scaler.cooldown < start:
            message = (
                f"the cooldown of {scaler.cooldown:.0f} s{written} is over before a start"
                f" of {start:.0f} s is"
            )
            yield Hit(scaler.resource, node, message)
        elif scaler.high > 1 and scaler.cooldown < scaler.window + _SYNCS:
            message = (
                f"the cooldown of {scaler.cooldown:.0f} s{written} ends before the HPA has gone"
                " down by"
                f" itself (a window of {scaler.window:.0f} s and two syncs)"
            )
            yield Hit(scaler.resource, node, message)


COOLDOWNS = Rule(
    id="HR414",
    severity="warning",
    title="cooldown too short",
    what="The model is put to sleep while it is still starting, or from many replicas to 0 in one"
    " step; the next request pays a whole cold start again.",
    fix="cooldownPeriod above the HPA's scale-down window plus 30 s, and above a measured cold"
    " start",
    fact=Fact(
        "KEDA goes from N to 0 in one write, past stabilization window and policies; the HPA's"
        " window"
        f" is 300 s by default, and so is cooldownPeriod ({COOLDOWN} s).",
        "KEDA 8b4f083 scale_executor.go; kedacore/keda#7770",
    ),
    check=_cooldown,
)


def _unguarded(scene: Scene) -> Iterator[Hit]:
    for scaler in _sleepers(scene):
        asked = [one for one in scaler.signals if one.kind == "prometheus"]
        if len(asked) == len(scaler.signals) and not scaler.spec["fallback"]:
            message = (
                "without a fallback, Prometheus down for longer than"
                f" {scaler.cooldown:.0f} s scales a busy {scaler.target['name'].text} to 0"
            )
            yield Hit(scaler.resource, scaler.spec["triggers"], message)


UNGUARDED = Rule(
    id="HR415",
    severity="error",
    title="scaled to zero when Prometheus is lost",
    what="All answers are cut while everything but Prometheus works.",
    fix="add fallback: failureThreshold 3, replicas 1, behavior currentReplicasIfHigher (KEDA"
    " before 2.17 has no behavior: there replicas is the maximum); or minReplicaCount: 1",
    fact=Fact(
        "14 waiting at 3 replicas, Prometheus frozen, no fallback, cooldown 10 s: 0 replicas"
        " after 22"
        " to 24 s, in 2 of 2 runs. With minReplicaCount 1 it held 3.",
        "measured on Kubernetes 1.35 with KEDA 2.20.2",
    ),
    check=_unguarded,
)


def _bounds(scene: Scene) -> Iterator[Hit]:
    for scaler in scene.scalers:
        if scaler.low > scaler.high:
            least = scaler.spec["minReplicaCount"] or scaler.spec["minReplicas"]
            message = f"at least {scaler.low} replicas and at most {scaler.high}"
            yield Hit(scaler.resource, least, message, "make the maximum the larger one")
        idle = scaler.spec["idleReplicaCount"]
        if scaler.keda and idle and idle.whole(0) >= scaler.low:
            message = f"idleReplicaCount {idle.text} is not less than minReplicaCount {scaler.low}"
            fix = "remove idleReplicaCount" if scaler.low == 0 else "set it to 0"
            yield Hit(scaler.resource, idle, message, fix)


BOUNDS = Rule(
    id="HR416",
    severity="error",
    title="counts of replicas that contradict",
    what="KEDA refuses the ScaledObject, the API server the HorizontalPodAutoscaler.",
    fix="with minReplicaCount 0 leave idleReplicaCount out",
    fact=Fact(
        "CheckReplicaCountBoundsAreValid: IdleReplicaCount must be less than MinReplicaCount, and"
        " MinReplicaCount not more than MaxReplicaCount.",
        "KEDA scaledobject_types.go",
    ),
    check=_bounds,
)


def _at_once(scene: Scene) -> Iterator[Hit]:
    for scaler in _sleepers(scene):
        if not scaler.spec["initialCooldownPeriod"]:
            name = scaler.target["name"].text
            message = f"applied beside a running {name}, it puts it to sleep at once if it is idle"
            yield Hit(scaler.resource, scaler.spec["minReplicaCount"] or scaler.spec, message)


AT_ONCE = Rule(
    id="HR417",
    severity="note",
    title="asleep from the first moment",
    what="The first replica goes before anybody has used it; cooldownPeriod does not protect it.",
    fix="set initialCooldownPeriod above a cold start",
    fact=Fact(
        "A new ScaledObject with minReplicaCount 0 goes to 0 within 0.5 s, whatever the cooldown.",
        "seen on Kubernetes 1.35 with KEDA 2.20.2; kedacore/keda#5008",
    ),
    check=_at_once,
)
ZERO_RULES = (NEVER, BUSY, ACTIVATION, COOLDOWNS, UNGUARDED, BOUNDS, AT_ONCE)
