"""What vLLM's server flags are called, in which versions, and which field owns them.

Two sources: for 0.32.0 the full list, generated from vLLM itself (`vllm_flags_0_32_0.txt`), so that
any misspelt flag is caught; for other versions the history of the flags that came and went, read
from the published wheels of 0.6.5 to 0.33.0 in some twenty steps, so a boundary is exact to the
minor version only. `vllm.py` turns this into arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Literal

from packaging.version import Version

from headrace.engines.flag_rules import FlagRules, Span
from headrace.fleet.problems import nearest
from headrace.fleet.types import Scalar

Kind = Literal["value", "boolean", "switch"]
LISTED = "0.32"
"""The minor version whose full list of flags is shipped."""


HISTORY: Mapping[str, Span] = {
    "device-memory-utilization": Span("0.31", instead="gpu_memory_utilization of the deployment"),
    "kv-cache-memory-bytes": Span("0.10", instead="gpu_memory_utilization of the deployment"),
    "max-num-active-seqs": Span("0.31", instead="max_num_seqs of the deployment"),
    "max-num-scheduled-tokens": Span("0.26", instead="max-num-batched-tokens"),
    "max-num-queued-reqs": Span("0.30", instead="queue.limit of the deployment"),
    "max-num-queued-tokens": Span("0.30", instead="queue.limit of the deployment"),
    "watermark": Span("0.24"),
    "scheduler-reserve-full-isl": Span("0.19"),
    "max-num-partial-prefills": Span("0.8", "0.28", "max-num-batched-tokens"),
    "max-long-partial-prefills": Span("0.8", "0.28", "long-prefill-token-threshold"),
    "long-prefill-token-threshold": Span("0.8"),
    "num-scheduler-steps": Span(None, "0.10.2", "nothing: the V1 engine does not need it"),
    "multi-step-stream-outputs": Span(None, "0.10.2", "stream-interval"),
    "swap-space": Span(
        None, "0.18", "kv-offloading-size, or nothing: V1 recomputes what it preempts"
    ),
    "preemption-mode": Span(None, "0.11", "nothing: V1 always recomputes"),
    "disable-async-output-proc": Span(None, "0.12", "nothing: V0 only"),
    "num-lookahead-slots": Span(None, "0.12", "speculative-config"),
    "scheduler-delay-factor": Span(None, "0.12", "nothing: V0 only"),
    "cuda-graph-sizes": Span("0.9", "0.12", "cudagraph-capture-sizes"),
    "max-seq-len-to-capture": Span(None, "0.11", "max-cudagraph-capture-size"),
    "cudagraph-capture-sizes": Span("0.11", instead="cuda-graph-sizes"),
    "max-cudagraph-capture-size": Span("0.11", instead="max-seq-len-to-capture"),
    "offload-backend": Span("0.17", instead="cpu-offload-gb"),
    "disable-log-requests": Span(
        None, "0.17", "nothing: requests are no longer logged unless asked"
    ),
    "enable-log-requests": Span("0.10", instead="disable-log-requests"),
    "shutdown-timeout": Span("0.18"),
    "stream-interval": Span("0.11"),
    "enable-per-request-metrics": Span("0.32"),  # seen in 0.32.0; older versions were not looked at
    "task": Span(None, "0.13", "runner, and convert where the model is to be adapted"),
    "runner": Span("0.10", instead="task"),
    "convert": Span("0.10", instead="task"),
    "guided-decoding-backend": Span(None, "0.12", "structured-outputs-config"),
    "structured-outputs-config": Span("0.11", instead="guided-decoding-backend"),
    "speculative-model": Span(None, "0.8", "speculative-config"),
    "num-speculative-tokens": Span(None, "0.8", "speculative-config"),
    "speculative-config": Span("0.8", instead="speculative-model and num-speculative-tokens"),
    "nnodes": Span("0.11.2"),
    "node-rank": Span("0.11.2"),
    "master-addr": Span("0.11.2"),
    "spec-method": Span("0.22", instead="speculative-config"),
    "kv-offloading-size": Span("0.11", instead="kv-transfer-config"),
    "kv-events-config": Span("0.9"),
}

OWNED: Mapping[str, str] = {
    "nnodes": "tensor_parallel, pipeline_parallel and the hardware",
    "node-rank": "tensor_parallel, pipeline_parallel and the hardware",
    "master-addr": "tensor_parallel, pipeline_parallel and the hardware",
    "model": "model",
    "served-model-name": "the match.model of the routes",
    "max-model-len": "max_model_len",
    "max-num-seqs": "max_num_seqs",
    "kv-cache-memory-bytes": "kv_cache",
    "gpu-memory-utilization": "gpu_memory_utilization",
    "device-memory-utilization": "gpu_memory_utilization",
    "max-num-batched-tokens": "max_num_batched_tokens",
    "tensor-parallel-size": "tensor_parallel",
    "pipeline-parallel-size": "pipeline_parallel",
    "quantization": "quantization",
    "shutdown-timeout": "lifecycle.drain",
    "enable-lora": "adapters",
    "lora-modules": "adapters",
    "max-lora-rank": "adapters",
}
"""Flags that Headrace sets itself, and the deployment's field for each."""

REFUSED: Mapping[str, str] = {
    "host": "Headrace chooses where replicas listen",
    "port": "Headrace chooses where replicas listen",
    "uds": "the gateway reaches replicas over TCP",
    "root-path": "the gateway expects the API at /v1",
    "grpc": "the gateway speaks HTTP",
    "headless": "a replica without HTTP cannot be served",
    "ssl-keyfile": "the gateway reaches replicas in plain HTTP on this machine",
    "ssl-certfile": "the gateway reaches replicas in plain HTTP on this machine",
    "config": "flags from another file would escape these checks; write them here",
    "api-key": "no secrets in a fleet file or on a command line; replicas listen locally anyway",
    "hf-token": "no secrets in a fleet file or on a command line; weights are already local",
}

_QUANTIZATION_GONE = {
    "gguf": ("0.24", "the plugin vllm-gguf-plugin; Headrace turns GGUF weights into ordinary ones"),
    "bitsandbytes": ("0.28", "the plugin vllm-bnb-plugin"),
}
"""Formats of weights that vLLM had: the first version without each, and what to do instead."""
_MADE_AT_START = frozenset({
    "experts_int8", "fp8", "fp8_per_block", "fp8_per_channel", "fp8_per_tensor",
    "int8_per_channel_weight_only", "moe_wna16", "mxfp8", "nvfp4_per_token", "online",
})  # fmt: skip
_OF_THE_WEIGHTS = frozenset({
    "auto_awq", "auto_gptq", "awq", "awq_marlin", "compressed-tensors", "deepseek_v4_fp8",
    "fbgemm_fp8", "fp_quant", "gpt_oss_mxfp4", "gptq", "gptq_marlin", "humming", "inc", "modelopt",
    "modelopt_fp4", "modelopt_mixed", "modelopt_mxfp8", "mxfp4", "quark", "torchao",
})  # fmt: skip
"""What 0.32.0 takes as --quantization (`model_executor/layers/quantization`): what it makes itself
of weights in 16 bits, and what the weights must have been made for."""
_COMPRESSED = frozenset({"int8", "w8a8", "w4a16"})
"""What plans and people call formats that are all one to --quantization."""


@cache
def listed() -> Mapping[str, Kind]:
    """Return every flag of 0.32.0 with its kind."""
    text = (resources.files(__package__) / "vllm_flags_0_32_0.txt").read_text(encoding="utf-8")
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {name: _kind(kind) for name, kind in rows}


def _kind(word: str) -> Kind:
    match word:
        case "value" | "boolean" | "switch":
            return word
        case _:
            raise ValueError(
                f"vllm_flags_0_32_0.txt: expected value, boolean or switch, found {word!r}"
            )


def canonical(name: str) -> str:
    """Write a flag as vLLM lists it: `max_num_seqs` and `max-num-seqs` are the same."""
    head, dot, tail = name.partition(".")
    return head.replace("_", "-") + dot + tail


RULES = FlagRules("vLLM", HISTORY, OWNED, REFUSED, canonical)


def has_flag(name: str, version: str) -> bool:
    """Say whether this version knows the flag, as far as Headrace can tell."""
    return RULES.has(name, version)


def quantization_gone(scheme: str, version: str) -> str | None:
    """Return why this version does not know a format of weights, None if it does."""
    gone, instead = _QUANTIZATION_GONE.get(scheme, ("", ""))
    if not gone or Version(version) < Version(gone):
        return None
    return f"vLLM {version} has no {scheme}: gone since {gone}; instead: {instead}"


def quantization_unknown(scheme: str, version: str) -> str | None:
    """Return why this version refuses a format by its name, None if it does not or may not."""
    known = _MADE_AT_START | _OF_THE_WEIGHTS
    if not _is_listed(version) or scheme in known:
        return None
    its = "; its name there is compressed-tensors" if scheme in _COMPRESSED else ""
    way = "quantized weights say themselves what they are, so it may be left out"
    hint = its or nearest(scheme, known)
    return f"vLLM {version} knows no quantization '{scheme}'{hint}; {way}"


def needs_quantized_weights(scheme: str) -> bool:
    """Whether weights must have been quantized for this format before vLLM sees them."""
    return scheme in _OF_THE_WEIGHTS


def flag_problems(flags: Mapping[str, Scalar], version: str) -> Iterator[tuple[str, str]]:
    """Yield (name as written, sentence) for each flag that cannot be passed to this version."""
    for written, value in flags.items():
        message = _name_problem(written, version) or _value_problem(written, value, version)
        if message:
            yield written, message


def _name_problem(written: str, version: str) -> str | None:
    problem = RULES.problem(written, version)
    name = canonical(written).partition(".")[0]
    if problem is None and _is_listed(version) and name not in listed():
        return _unlisted(name, version)
    return problem


def _unlisted(name: str, version: str) -> str:
    positive = name.removeprefix("no-")
    if name != positive and listed().get(positive) == "boolean":
        return f"write '{positive}: false' instead"
    return f"vLLM {version} has no --{name}{nearest(name, listed())}"


def _is_listed(version: str) -> bool:
    return Version(version).release[:2] == Version(LISTED).release


def _value_problem(written: str, value: Scalar, version: str) -> str | None:
    kind = listed().get(canonical(written)) if _is_listed(version) else None
    if kind == "value" and isinstance(value, bool):
        return f"--{written} takes a value, not {str(value).lower()}"
    if kind in ("boolean", "switch") and not isinstance(value, bool):
        return f"--{written} is either true or false (found {value!r})"
    return None


def flag_arguments(name: str, value: Scalar) -> list[str]:
    """Return a flag's arguments: true is --flag, false is --no-flag or, for a switch, nothing."""
    name = canonical(name)
    if value is True:
        return [f"--{name}"]
    if value is False:
        return [] if listed().get(name) == "switch" else [f"--no-{name}"]
    return [f"--{name}={value}" if str(value).startswith("-") else f"--{name}", *_separate(value)]


def _separate(value: Scalar) -> list[str]:
    return [] if str(value).startswith("-") else [str(value)]
