"""Rules about images, flags and variables: what the pinned version of an engine does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.version import Version

from headrace.engines import sglang, tgi, vllm_flags
from headrace.engines.container import EngineName
from headrace.engines.flag_rules import FlagRules
from headrace.engines.vllm_flags import LISTED, canonical, listed, quantization_gone
from headrace.fleet.problems import nearest
from headrace.preflight.engine import Engine
from headrace.preflight.finding import Fact, Hit, Rule
from headrace.preflight.scene import Scene, near

_OLD_BOOLEANS = {"enable-chunked-prefill", "disable-logprobs-during-spec-decoding"}
"""Switches that vLLM before the V1 engine let people write as `=true`."""
_EITHER = {"version", "help", "o", "compilation-config"}
_RULES: Mapping[EngineName, FlagRules] = {
    "vllm": vllm_flags.RULES,
    "tgi": tgi.RULES,
    "sglang": sglang.RULES,
}


def _floating(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        image = engine.container["image"]
        if engine.image.repository and engine.image.floats:
            tag = f"the tag {engine.image.tag!r}" if engine.image.tag else "no tag"
            message = f"{image.text} has {tag}: the next Pod may run another engine than this one"
            yield Hit(workload.resource, image, message)


FLOATING = Rule(
    id="HR101",
    severity="error",
    title="image without a version",
    what="Replicas of one deployment run different engines, and flags, metrics and drain that fit"
    " today's do not fit tomorrow's.",
    fix="pin a version, or better a digest",
    fact=Fact(
        "vLLM removed --swap-space in 0.18, --disable-log-requests in 0.17 and renamed its KV"
        " metric"
        " in 0.12: a Pod that comes up with a newer image exits at once or goes dark.",
        "published wheels vllm 0.6.5 to 0.33.0",
    ),
    check=_floating,
)


def _flags(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        rules = _RULES.get(engine.name)
        if rules is None or engine.version is None:
            continue
        for flag in engine.arguments.flags.values():
            name = rules.spelling(flag.name).partition(".")[0]
            if message := _absent(rules, name, engine.version):
                message += "; the container exits with a usage error"
            elif name == "quantization" and engine.name == "vllm":
                message = quantization_gone(flag.value or "", engine.version)
            if message:
                yield Hit(workload.resource, flag.node, message)


def _absent(rules: FlagRules, name: str, version: str) -> str | None:
    if message := rules.absence(name, version):
        return re.sub(r"; instead: [^;]* of the deployment$", "", message)
    newest = Version(version).release[:2] == Version(LISTED).release[:2]
    if rules is not vllm_flags.RULES or not newest or name in _EITHER:
        return None
    known, positive = listed(), name.removeprefix("no-")
    if name in known or known.get(positive) == "boolean":
        return None
    return f"vLLM {version} has no --{name}{nearest(name, known)}"


FLAGS = Rule(
    id="HR102",
    severity="error",
    title="flag that the image does not have",
    what="The engine refuses its command line and the Pod is restarted for ever.",
    fix="remove the flag, or use what replaced it",
    fact=Fact(
        "Flags by version: --swap-space last in 0.17.1, --num-scheduler-steps last in 0.10.0,"
        " --disable-log-requests last in 0.16.0, --task last in 0.12.0; --shutdown-timeout first in"
        " 0.18.1.",
        "published wheels vllm 0.6.5 to 0.33.0, in 24 steps",
    ),
    check=_flags,
)


def _switches(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if engine.name != "vllm":
            continue
        for flag in engine.arguments.flags.values():
            value = (flag.value or "").lower()
            if flag.joined and value in ("true", "false") and _takes_nothing(flag.name, engine):
                message = (
                    f"--{flag.name}={flag.value}: {engine.title} takes no value there; it exits"
                    " with"
                    f" \"ignored explicit argument '{flag.value}'\""
                )
                fix = f"write --{flag.name}" if value == "true" else "leave the flag out"
                yield Hit(workload.resource, flag.node, message, fix)


def _takes_nothing(name: str, engine: Engine) -> bool:
    kind = listed().get(canonical(name))
    newer = engine.since("0.11")
    return kind == "switch" or (kind == "boolean" and bool(newer) and name not in _OLD_BOOLEANS)


SWITCHES = Rule(
    id="HR103",
    severity="error",
    title="value for a switch",
    what="The engine refuses its command line and the Pod is restarted for ever.",
    fix="a switch is either there or not",
    fact=Fact(
        "Such flags are argparse actions without a value (`store_true`, and since V1"
        " BooleanOptionalAction with a --no- form); argparse refuses an explicit one.",
        "vllm/engine/arg_utils.py; parser of vLLM 0.32.0",
    ),
    check=_switches,
)


def _token_names(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if engine.name != "tgi" or engine.version is None or engine.container["envFrom"]:
            continue
        given = {one["name"].text: one for one in engine.container["env"].each()}
        new = bool(engine.since("2.1"))
        read, other = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")[:: 1 if new else -1]
        if other in given and read not in given:
            message = (
                f"{engine.title} reads {read}, not {other}: a gated model answers 401 at start"
            )
            yield Hit(workload.resource, given[other], message, f"set {read} (both do no harm)")


TOKEN_NAMES = Rule(
    id="HR104",
    severity="error",
    title="hub token under a name that the engine does not read",
    what="Gated weights cannot be fetched; the Pod fails at start.",
    fix="set HF_TOKEN from the Secret; both names together do no harm",
    fact=Fact(
        "TGI reads HUGGING_FACE_HUB_TOKEN up to 2.0.4 and HF_TOKEN from 2.1.0 on.",
        "TGI launcher and router, v2.0.4 and v2.1.0",
    ),
    check=_token_names,
)


def _service_name(scene: Scene) -> Iterator[Hit]:
    vllm = [work for work, engine in scene.served if engine.name == "vllm"]
    for service in scene.of_kind("Service"):
        if service.name != "vllm" or service.spec["clusterIP"].text == "None":
            continue
        hit = [
            one
            for one in vllm
            if near(one.resource, service) and one.pod["enableServiceLinks"].text != "false"
        ]
        if hit or not scene.workloads:
            node = service.root.at("metadata", "name")
            message = (
                "a Service named vllm puts VLLM_PORT=tcp://… into every Pod of its namespace, and"
                " vLLM takes that for its own setting and refuses it"
            )
            yield Hit(service, node, message)


SERVICE_NAME = Rule(
    id="HR105",
    severity="error",
    title="Service named vllm",
    what="vLLM exits at start: VLLM_PORT appears to be a URI.",
    fix="rename the Service, or set enableServiceLinks: false on the Pods",
    fact=Fact(
        "Kubernetes injects <NAME>_PORT for Services with a cluster IP; vLLM reads VLLM_PORT and"
        " raises an error that names this very cause.",
        "vllm/envs.py get_vllm_port, 0.33.0",
    ),
    check=_service_name,
)


def _hosts(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if engine.name not in ("sglang", "trtllm") or engine.opaque:
            continue
        host = engine.arguments.value("host")
        if host in (None, "127.0.0.1", "localhost", "::1"):
            node = engine.arguments.node("host") or engine.model_node
            message = (
                f"{engine.title} listens on localhost only: probes and Services cannot reach it"
            )
            yield Hit(workload.resource, node, message)


HOSTS = Rule(
    id="HR106",
    severity="error",
    title="engine bound to localhost",
    what="The Pod never becomes ready, or answers nobody.",
    fix="add --host 0.0.0.0",
    fact=Fact(
        "SGLang's --host defaults to 127.0.0.1; trtllm-serve's to localhost.",
        "sglang 0.5.23 srt/arg_groups/fields/serving.py; tensorrt_llm/commands/serve.py",
    ),
    check=_hosts,
)


def _metrics(scene: Scene) -> Iterator[Hit]:
    for workload, engine in scene.served:
        if found := _dark(engine):
            flag, message = found
            node = engine.arguments.node(flag) or engine.model_node
            yield Hit(workload.resource, node, message)


def _dark(engine: Engine) -> tuple[str, str] | None:
    given, config = engine.arguments, ("config", "extra-llm-api-options", "config-file")
    if engine.name == "vllm" and given.has("disable-log-stats"):
        if (given.value("disable-log-stats") or "").lower() == "false":
            return None
        return "disable-log-stats", f"{engine.title} exports no vllm:* metrics with this flag"
    if engine.opaque or given.has(*config):
        return None
    if engine.name == "sglang" and not given.has("enable-metrics"):
        return "enable-metrics", f"{engine.title} has no /metrics without --enable-metrics"
    if engine.name == "trtllm":
        why = "has Prometheus metrics only with return_perf_metrics: true in its --config"
        return "config", f"{engine.title} {why}"
    return None


METRICS = Rule(
    id="HR107",
    severity="warning",
    title="engine without metrics",
    what="Dashboards are empty, and a scaler that reads them sees nothing or 0.",
    fix="SGLang: --enable-metrics; vLLM: without --disable-log-stats; trtllm-serve:"
    " return_perf_metrics: true, scraped at /prometheus/metrics",
    fact=Fact(
        "SGLang mounts /metrics only with --enable-metrics; vLLM starts no stat loggers with"
        " --disable-log-stats; trtllm-serve's /metrics is JSON.",
        "sglang 0.5.23; vllm/v1/engine/async_llm.py; tensorrt_llm/serve",
    ),
    check=_metrics,
)
IMAGE_RULES = (FLOATING, FLAGS, SWITCHES, TOKEN_NAMES, SERVICE_NAME, HOSTS, METRICS)
