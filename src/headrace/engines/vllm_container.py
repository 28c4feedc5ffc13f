"""vLLM in a Pod: image, probes, what SIGTERM does, and a replica that spans several Pods.

`vllm.py` has the flags, which are the same as on one machine.
"""

from __future__ import annotations

import math

from packaging.version import Version

from headrace.engines import pod
from headrace.engines.container import Container, Drain, Features, Spot
from headrace.engines.vllm_adapters import adapter_arguments
from headrace.engines.vllm_flags import flag_arguments, has_flag
from headrace.fleet.types import Deployment, Hardware, Scalar

NODES_SINCE = "0.11.2"
"""From here on a replica over several nodes needs no Ray."""
_PORT = 8000
_GPU, _CPU = "vllm/vllm-openai", "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo"
_OLD_FORMATS = frozenset(
    {"aqlm", "auto-round", "awq", "bitblas", "bitsandbytes", "compressed-tensors", "experts_int8"}
    | {"fbgemm_fp8", "fp8", "gguf", "gptq", "gptq_marlin", "hqq", "inc", "marlin", "modelopt"}
    | {"modelopt_fp4", "moe_wna16", "mxfp4", "ptpc_fp8", "qqq", "quark", "rtn", "torchao"}
)
_NEW_FORMATS = frozenset(
    {"auto_awq", "auto_gptq", "awq", "compressed-tensors", "fp8", "fp8_per_block", "gptq", "inc"}
    | {"fp8_per_channel", "fp8_per_tensor", "humming", "modelopt", "modelopt_fp4", "mxfp4"}
    | {"modelopt_mixed", "modelopt_mxfp8", "online", "quark", "torchao"}
)
_GGUF_GONE, _BITSANDBYTES_GONE = "0.24", "0.28"


def features(version: str) -> Features:
    """Return what this version offers beside plain serving."""
    newest = ("spec-method",) if has_flag("spec-method", version) else ()
    return Features(
        quantization=_formats(Version(version)),
        adapters="as the model of a request",
        speculation=(*newest, "speculative-config"),
        prefix_caching="on; 'enable-prefix-caching: false' switches it off",
    )


def _formats(now: Version) -> frozenset[str]:
    """Return the formats of 0.10.2 before gguf went, else those of 0.33; none is refused by it."""
    if now < Version(_GGUF_GONE):
        return _OLD_FORMATS
    return _NEW_FORMATS | ({"bitsandbytes"} if now < Version(_BITSANDBYTES_GONE) else set())


def container(
    version: str,
    deployment: Deployment,
    hardware: Hardware,
    spot: Spot,
    *,
    flags: pod.Reasoned[Scalar],
    kv_environment: pod.Reasoned[str],
) -> Container:
    """Return one replica, or one Pod of it, started with these flags."""
    env = pod.cache_environment(spot) | _environment(spot) | kv_environment
    env |= pod.own_environment(deployment)
    flags = {**_place(spot), **flags}
    where = _CPU if hardware.kind == "cpu" else _GPU
    return Container(
        image=pod.image_of(deployment, f"{where}:v{pod.three(version)}"),
        command=("vllm", "serve"),
        args=(
            spot.model_path,
            *(part for name, (value, _) in flags.items() for part in flag_arguments(name, value)),
            *("--served-model-name", *spot.served_names),
            *adapter_arguments(spot.adapters),
        ),
        env=pod.values(env),
        ports={"http": _PORT, "metrics": _PORT},
        metrics_path="/metrics",
        startup=pod.startup_probe(deployment, "/health", _HEALTH),
        readiness=pod.readiness_probe("/health", _HEALTH),
        liveness=pod.liveness_probe("/health", _HEALTH),
        drain=_drain(version, deployment),
        token_env=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
        reasons=pod.why(flags, dashes="--") | pod.why(env),
    )


_HEALTH = (
    "the port opens when the weights are loaded, and the engine's process lives; nothing is "
    "generated, so an engine that hangs is healthy, and so is one that drains: only the known "
    "prompt tells"
)


def _place(spot: Spot) -> pod.Reasoned[Scalar]:
    """Return where this Pod listens, and its place among the Pods of a replica."""
    flags: pod.Reasoned[Scalar] = {
        "host": (pod.EVERYWHERE, "the gateway and the probes reach it on every address"),
        "port": (_PORT, "its own default, said so that VLLM_PORT of a Service cannot change it"),
    }
    if spot.nodes > 1:
        flags["nnodes"] = (spot.nodes, "Pods of a replica")
        flags["node-rank"] = (spot.rank, "this Pod's place among them")
        flags["master-addr"] = (spot.leader, "where they find each other")
    if spot.worker:
        flags["headless"] = (True, "only the leader has HTTP")
    return flags


def _environment(spot: Spot) -> pod.Reasoned[str]:
    return {
        "VLLM_CACHE_ROOT": (f"{spot.cache_path}/vllm", "what was compiled survives a restart"),
        "VLLM_NO_USAGE_STATS": ("1", "no reports to anyone"),
    }


def _drain(version: str, deployment: Deployment) -> Drain:
    if has_flag("shutdown-timeout", version):
        return Drain(
            inside=True,
            seconds=math.ceil(deployment.lifecycle.drain),
            tells=False,
            note="--shutdown-timeout lets streams run to their end, while health stays 200 and a "
            "new request gets an empty answer that ends with abort (measured on 0.32.0)",
        )
    return Drain(
        inside=False,
        seconds=None,
        tells=False,
        note="SIGTERM ends the engine before the streams; it came to drain with 0.18",
    )
