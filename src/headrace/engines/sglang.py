"""SGLang: read from the wheels of 0.4.0, 0.4.9 and 0.5.23.

It listens on 127.0.0.1 and has no metrics unless it is told to. What is the same for all engines is
in `pod.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.version import Version

from headrace.engines import pod
from headrace.engines.base import Resume
from headrace.engines.container import Container, Drain, Spot
from headrace.engines.flag_rules import FlagRules, switch_arguments
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware, Scalar

OLDEST = "0.4"
NEW_SINCE = "0.5"
"""From here on it is taken to be as 0.5.23: nothing between 0.4.9 and that was looked at."""
_ITL_SINCE = "0.4.9"
_PORT, _RENDEZVOUS = 30000, 20000
_HEALTH_TIMEOUT = 25
"""Above the 20 s after which SGLang's own health check gives up (SGLANG_HEALTH_CHECK_TIMEOUT)."""


def canonical(name: str) -> str:
    """Write a flag as SGLang does: `context_length` and `context-length` are the same."""
    return name.replace("_", "-")


RULES = FlagRules(
    title="SGLang",
    history={},  # none is known to have come or gone between the versions that were read
    owned={
        "model-path": "model",
        "model": "model",
        "served-model-name": "the match.model of the routes",
        "context-length": "max_model_len",
        "max-running-requests": "max_num_seqs",
        "chunked-prefill-size": "max_num_batched_tokens",
        "mem-fraction-static": "gpu_memory_utilization",
        "tp-size": "tensor_parallel",
        "tp": "tensor_parallel",
        "pp-size": "pipeline_parallel",
        "quantization": "quantization",
    },
    refused={
        "host": "the gateway and the probes reach it on every address of its Pod",
        "port": "Headrace chooses where replicas listen",
        "enable-metrics": "it is always given: without metrics nothing can be scaled or watched",
        "nnodes": "Headrace knows from tensor_parallel, pipeline_parallel and the hardware",
        "node-rank": "the Pod's own place gives it",
        "dist-init-addr": "the Pod's own place gives it",
        "api-key": "no secrets in a fleet file or on a command line",
        "admin-api-key": "no secrets in a fleet file or on a command line",
    },
    spelling=canonical,
)


@dataclass(frozen=True)
class Sglang:
    """One version of SGLang."""

    version: str
    name: str = field(default="sglang", init=False)
    note: str = field(default="", init=False)
    stream_usage: bool = field(default=True, init=False)
    health_path: str = field(default="/health", init=False)
    metrics_path: str = field(default="/metrics", init=False)

    @property
    def resume(self) -> Resume:
        """Text and token ids as of 0.5.23; of older versions it was not looked at."""
        new = self._since(NEW_SINCE)
        return Resume(chat=new, token_ids=new)

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what this version cannot do, as (path below the deployment, sentence)."""
        yield from pod.common_problems("SGLang", self.version, OLDEST, deployment, hardware)
        for flag, message in RULES.problems(deployment.engine.flags, self.version):
            yield ("engine", "flags", flag), message
        if deployment.pipeline_parallel > 1 and not self._since(NEW_SINCE):
            message = f"was not looked at in SGLang {self.version}; use {NEW_SINCE} or newer"
            yield ("pipeline_parallel",), message
        if deployment.adapters:
            message = "SGLang wants base:adapter as the model, which the gateway does not write"
            yield ("adapters",), f"{message}; use vllm or tgi"

    def container(self, deployment: Deployment, hardware: Hardware, spot: Spot) -> Container:
        """Return one replica; ValueError if the deployment still has a field that says `auto`."""
        del hardware
        flags = self._flags(pod.full(deployment), spot)
        env = pod.cache_environment(spot) | pod.own_environment(deployment)
        given = {f"--{name}": value for name, value in pod.values(flags).items()}
        new = self._since(NEW_SINCE)
        generates = "/health" if new else "/health_generate"
        return Container(
            image=pod.image_of(deployment, f"lmsysorg/sglang:v{pod.three(self.version)}"),
            command=("python3", "-m", "sglang.launch_server"),
            args=tuple(part for flag in given for part in switch_arguments(flag, given[flag])),
            env=pod.values(env),
            ports={"http": _PORT, "metrics": _PORT},
            metrics_path=self.metrics_path,
            startup=pod.startup_probe(deployment, generates, _HEALTH, timeout=_HEALTH_TIMEOUT),
            readiness=pod.readiness_probe("/ready", _READY)
            if new
            else pod.readiness_probe(generates, _HEALTH, timeout=_HEALTH_TIMEOUT),
            liveness=pod.liveness_probe(generates, _HEALTH, timeout=_HEALTH_TIMEOUT, period=30),
            drain=_DRAIN,
            reasons=pod.why(flags, dashes="--") | pod.why(env),
        )

    def _flags(self, deployment: Deployment, spot: Spot) -> pod.Reasoned[Scalar]:
        flags: pod.Reasoned[Scalar] = {
            "model-path": (spot.model_path, "model"),
            "served-model-name": (spot.served_names[0], "any other name is answered as well"),
            "host": (pod.EVERYWHERE, "its own default is 127.0.0.1, where nobody reaches it"),
            "port": (_PORT, "its own default, said so that it stays"),
            "enable-metrics": (True, "without it there is no /metrics"),
            "max-running-requests": (deployment.max_num_seqs, "max_num_seqs"),
            "tp-size": (deployment.tensor_parallel, "tensor_parallel"),
        }
        if deployment.max_model_len is not None:
            flags["context-length"] = (deployment.max_model_len, "max_model_len")
        if deployment.max_num_batched_tokens is not None:
            tokens = deployment.max_num_batched_tokens
            flags["chunked-prefill-size"] = (tokens, "max_num_batched_tokens")
        if deployment.gpu_memory_utilization is not None:
            share = "gpu_memory_utilization; here without what activations and CUDA graphs need"
            flags["mem-fraction-static"] = (deployment.gpu_memory_utilization, share)
        if deployment.pipeline_parallel > 1:
            flags["pp-size"] = (deployment.pipeline_parallel, "pipeline_parallel")
        if deployment.quantization:
            flags["quantization"] = (deployment.quantization, "quantization")
        own = deployment.engine.flags
        return flags | _nodes(spot) | {canonical(name): (own[name], "engine.flags") for name in own}

    def _since(self, version: str) -> bool:
        return Version(self.version) >= Version(version)

    def adapter_room(self, deployment: Deployment) -> None:
        """Return None: the gateway asks it for no adapter."""
        del deployment

    def answers_to(self, served_names: Sequence[str]) -> tuple[str, ...]:
        """Return all: SGLang does not check the model of a request."""
        return tuple(served_names)

    def flag_absence(self, flag: str) -> str | None:
        """Return why this version does not take a flag, None if it may."""
        return RULES.absence(canonical(flag), self.version)

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return its metrics, which it has with --enable-metrics only."""
        new = self._since(_ITL_SINCE)
        itl = "inter_token_latency_seconds" if new else "time_per_output_token_seconds"
        names = {
            "running": "num_running_reqs",
            "waiting": "num_queue_reqs",
            "kv_usage": "token_usage",
            "ttft": "time_to_first_token_seconds",
            "itl": itl,
            "tpot": "request_time_per_output_token_seconds",
            "e2e": "e2e_request_latency_seconds",
            "prompt_tokens": "prompt_tokens_total",
            "generation_tokens": "generation_tokens_total",
            "prefix_hits": "cached_tokens_total",
            "prefix_queries": "prompt_tokens_total",
            "preemptions": "num_retracted_requests_total",
            "success": "num_requests_total",
        }
        return {name: (f"sglang:{wire}",) for name, wire in names.items()}


_HEALTH = (
    "one token was generated, or others were meanwhile, within 20 s; takes a second at least, and "
    "is 503 while it starts or stops"
)
_READY = "it is neither paused nor stopping; nothing is generated"
_DRAIN = Drain(
    inside=True,
    seconds=None,
    tells=True,
    note="it looks every 5 s whether requests are left, without a deadline; health is 503, but new "
    "requests are still taken (managers/tokenizer_manager.py of 0.5.23)",
)


def _nodes(spot: Spot) -> pod.Reasoned[Scalar]:
    """Return what makes several Pods one replica."""
    if spot.nodes == 1:
        return {}
    return {
        "nnodes": (spot.nodes, "Pods of a replica"),
        "node-rank": (spot.rank, "this Pod's place among them"),
        "dist-init-addr": (f"{spot.leader}:{_RENDEZVOUS}", "where they find each other"),
    }
