"""TGI: a frozen contract. Its last release is 3.3.7; since 2025-12 it is in maintenance mode.

Read from the launcher and the router of 2.4.0 and 3.3.7; every flag is also a variable, in upper
case. What is the same for all engines is in `pod.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.version import Version

from headrace.engines import pod
from headrace.engines.base import Resume
from headrace.engines.container import Container, Drain, Spot
from headrace.engines.flag_rules import FlagRules, Span, switch_arguments
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware, Scalar

OLDEST = "2.0"
READ_SINCE = "2.4"
METRICS_PORT_SINCE = "3.3"
_PORT, _METRICS_PORT = 3000, 9000
_DRAIN = 90
"""Seconds of draining, fixed before 3.3."""
_CONCURRENT = 128
CHUNKS_SINCE = "3.0"
"""Before, TGI refuses a prompt that is longer than a step, and a step of more than its cache."""
_LENGTH, _EDGE = 4096, 49
"""Tokens of prompt and answer by default before 3.0, and what TGI adds to the longest prompt, which
is one shorter, for the alignment of blocks (launcher/src/main.rs, 2.4)."""
_FORMATS = frozenset(
    {"awq", "bitsandbytes", "bitsandbytes-fp4", "bitsandbytes-nf4", "compressed-tensors", "eetq"}
    | {"exl2", "fp8", "gptq", "marlin"}
)

_EVERY = frozenset({
    "api-key", "cors-allow-origin", "cuda-graphs", "cuda-memory-fraction",
    "disable-custom-kernels", "disable-grammar-support", "dtype", "enable-prefill-logprobs",
    "env", "graceful-termination-timeout", "help", "hostname", "huggingface-hub-cache",
    "json-output", "kv-cache-dtype", "lora-adapters", "master-addr", "master-port",
    "max-batch-prefill-tokens", "max-batch-size", "max-batch-total-tokens", "max-best-of",
    "max-client-batch-size", "max-concurrent-requests", "max-input-length", "max-input-tokens",
    "max-stop-sequences", "max-top-n-tokens", "max-total-tokens", "max-waiting-tokens",
    "messages-api-enabled", "model-id", "ngrok", "ngrok-authtoken", "ngrok-edge", "num-shard",
    "otlp-endpoint", "otlp-service-name", "payload-limit", "port", "prometheus-port", "quantize",
    "revision", "rope-factor", "rope-scaling", "shard-uds-path", "sharded", "speculate",
    "tokenizer-config-path", "trust-remote-code", "usage-stats", "validation-workers", "version",
    "waiting-served-ratio", "watermark-delta", "watermark-gamma", "weights-cache-override",
})  # fmt: skip
"""Every flag of the launcher, from 2.0 on (`Args` in launcher/src/main.rs)."""


def canonical(name: str) -> str:
    """Write a flag as TGI does: `max_batch_size` and `max-batch-size` are the same."""
    return name.replace("_", "-")


RULES = FlagRules(
    title="TGI",
    history={
        "payload-limit": Span("3.0"),
        "prometheus-port": Span("3.3"),
        "graceful-termination-timeout": Span("3.3"),
        "enable-prefill-logprobs": Span("3.3"),
    },
    owned={
        "model-id": "model",
        "served-model-name": "the match.model of the routes",
        "max-total-tokens": "max_model_len",
        "max-input-tokens": "max_model_len",
        "max-input-length": "max_model_len",
        "max-batch-size": "max_num_seqs",
        "max-concurrent-requests": "max_num_seqs",
        "max-batch-prefill-tokens": "max_num_batched_tokens",
        "cuda-memory-fraction": "gpu_memory_utilization",
        "num-shard": "tensor_parallel",
        "sharded": "tensor_parallel",
        "quantize": "quantization",
        "lora-adapters": "adapters",
        "graceful-termination-timeout": "lifecycle.drain",
    },
    refused={
        "hostname": "the gateway and the probes reach it on every address of its Pod",
        "port": "Headrace chooses where replicas listen",
        "prometheus-port": "Headrace chooses where replicas listen",
        "api-key": "no secrets in a fleet file or on a command line",
    },
    spelling=canonical,
    every=_EVERY,
)


@dataclass(frozen=True)
class Tgi:
    """One version of TGI."""

    version: str
    name: str = field(default="tgi", init=False)
    stream_usage: bool = field(default=True, init=False)
    health_path: str = field(default="/health", init=False)
    metrics_path: str = field(default="/metrics", init=False)
    resume: Resume = field(default=Resume(chat=False, token_ids=False), init=False)
    note: str = field(
        default="TGI is in maintenance mode since 2025-12; its README recommends vLLM or SGLang: "
        "Headrace supports what 3.3.7 does, and no more will come",
        init=False,
    )

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what this version cannot do, as (path below the deployment, sentence)."""
        yield from pod.common_problems("TGI", self.version, OLDEST, deployment, hardware)
        for flag, message in RULES.problems(deployment.engine.flags, self.version):
            yield ("engine", "flags", flag), message
        yield from pod.quantization_problem("TGI", self.version, deployment, _FORMATS)
        if deployment.pipeline_parallel > 1:
            yield ("pipeline_parallel",), "TGI has no pipeline; use tensor_parallel, or vllm"
        if pod.spans_nodes(deployment, hardware):
            yield ("tensor_parallel",), "TGI runs on one node; use vllm or sglang for several"
        if deployment.adapters and not self._since(READ_SINCE):
            message = f"not known to work with TGI {self.version}; {READ_SINCE} or newer has them"
            yield ("adapters",), message

    def container(self, deployment: Deployment, hardware: Hardware, spot: Spot) -> Container:
        """Return one replica; ValueError if the deployment still has a field that says `auto`."""
        del hardware
        flags = self._flags(pod.full(deployment), spot)
        env = pod.cache_environment(spot) | _environment(spot) | pod.own_environment(deployment)
        given = {f"--{name}": value for name, value in pod.values(flags).items()}
        apart = self._since(METRICS_PORT_SINCE)
        image = f"ghcr.io/huggingface/text-generation-inference:{pod.three(self.version)}"
        return Container(
            image=pod.image_of(deployment, image),
            command=("/tgi-entrypoint.sh",),
            args=tuple(part for flag in given for part in switch_arguments(flag, given[flag])),
            env=pod.values(env),
            ports={"http": _PORT, "metrics": _METRICS_PORT if apart else _PORT},
            metrics_path=self.metrics_path,
            startup=pod.startup_probe(deployment, "/health", _HEALTH),
            readiness=pod.readiness_probe("/health", _HEALTH),
            liveness=pod.liveness_probe("/health", _HEALTH),
            drain=self._drain(deployment),
            reasons=pod.why(flags, dashes="--") | pod.why(env),
        )

    def _flags(self, deployment: Deployment, spot: Spot) -> pod.Reasoned[Scalar]:
        many = max(_CONCURRENT, 2 * deployment.max_num_seqs)
        flags: pod.Reasoned[Scalar] = {
            "model-id": (spot.model_path, "model"),
            "hostname": (pod.EVERYWHERE, "else it takes HOSTNAME, in a Pod the Pod's name"),
            "port": (_PORT, "80, the image's own, needs a privilege"),
            "max-batch-size": (deployment.max_num_seqs, "max_num_seqs"),
            "max-concurrent-requests": (
                many,
                "beyond it TGI says 429; the gateway does the queueing",
            ),
        }
        if self._since(METRICS_PORT_SINCE):
            flags["prometheus-port"] = (_METRICS_PORT, "metrics apart from the API")
            drain = math.ceil(deployment.lifecycle.drain)
            flags["graceful-termination-timeout"] = (drain, "lifecycle.drain")
        if deployment.max_model_len is not None:
            name = "max-input-tokens" if self._since(READ_SINCE) else "max-input-length"
            flags["max-total-tokens"] = (deployment.max_model_len, "max_model_len")
            flags[name] = (deployment.max_model_len - 1, "max_model_len, less one token of answer")
        flags |= self._prefill(deployment)
        if deployment.gpu_memory_utilization is not None:
            fraction = deployment.gpu_memory_utilization
            flags["cuda-memory-fraction"] = (fraction, "gpu_memory_utilization")
        flags["num-shard"] = (deployment.tensor_parallel, "tensor_parallel")
        if deployment.quantization:
            flags["quantize"] = (deployment.quantization, "quantization")
        if spot.adapters:
            named = ",".join(f"{adapter.name}={adapter.path}" for adapter in spot.adapters)
            flags["lora-adapters"] = (named, "adapters: they are loaded at start only")
        own = deployment.engine.flags
        return flags | {canonical(name): (own[name], "engine.flags") for name in own}

    def _prefill(self, deployment: Deployment) -> pod.Reasoned[Scalar]:
        """Return the tokens of a step; before 3.0 never left to TGI, which may refuse its own."""
        tokens, name = deployment.max_num_batched_tokens, "max-batch-prefill-tokens"
        longest = (deployment.max_model_len or _LENGTH) + _EDGE
        if self._since(CHUNKS_SINCE) or (tokens is not None and tokens >= longest):
            return {} if tokens is None else {name: (tokens, "max_num_batched_tokens")}
        why = "a prompt is read in one step, and it would be the longest for each of max-batch-size"
        return {name: (longest, why)}

    def _drain(self, deployment: Deployment) -> Drain:
        own = self._since(METRICS_PORT_SINCE)
        seconds = math.ceil(deployment.lifecycle.drain) if own else _DRAIN
        return Drain(
            inside=True,
            seconds=seconds,
            tells=True,
            note="the router stops accepting and waits for open requests, then all is killed "
            "(launcher/src/main.rs and router/src/server.rs of 2.4.0 and 3.3.7)",
        )

    def _since(self, version: str) -> bool:
        return Version(self.version) >= Version(version)

    def adapter_room(self, deployment: Deployment) -> None:
        """Return None: all adapters are loaded, and requests of any run together."""
        del deployment

    def answers_to(self, served_names: Sequence[str]) -> tuple[str, ...]:
        """Return all: TGI takes any model name that is no adapter's for its model."""
        return tuple(served_names)

    def flag_absence(self, flag: str) -> str | None:
        """Return why this version does not take a flag, None if it may."""
        return RULES.absence(canonical(flag), self.version)

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return its metrics; it has no TTFT, no KV usage as a share, and no prefix-cache hits.

        `prompt_tokens` and `generation_tokens` are histograms of requests, whose sums are meant.
        """
        return {
            "running": ("tgi_batch_current_size",),
            "waiting": ("tgi_queue_size",),
            "tpot": ("tgi_request_mean_time_per_token_duration",),
            "e2e": ("tgi_request_duration",),
            "prompt_tokens": ("tgi_request_input_length",),
            "generation_tokens": ("tgi_request_generated_tokens",),
            "success": ("tgi_request_success",),
        }


_HEALTH = (
    "the shards can allocate on their devices; after a failed generation, that one token was "
    "generated, ahead of the queue"
)


def _environment(spot: Spot) -> pod.Reasoned[str]:
    cache = (f"{spot.cache_path}/huggingface", "the launcher hands it to its shards")
    env = {"HUGGINGFACE_HUB_CACHE": cache}
    if spot.adapters:
        env["PREFIX_CACHING"] = ("1", "adapters switch it off unless it is asked for")
    return env
