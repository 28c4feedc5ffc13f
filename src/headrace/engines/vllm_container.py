"""vLLM in a Pod: image, probes, what SIGTERM does, and a replica that spans several Pods.

`vllm.py` has the flags, which are the same as on one machine.
"""

from __future__ import annotations

import math

from headrace.engines import pod
from headrace.engines.container import Container, Drain, Spot
from headrace.engines.vllm_adapters import adapter_arguments
from headrace.engines.vllm_flags import flag_arguments, has_flag
from headrace.fleet.types import Deployment, Hardware, Scalar

NODES_SINCE = "0.11.2"
"""From here on a replica over several nodes needs no Ray."""
_PORT = 8000
_GPU, _CPU = "vllm/vllm-openai", "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo"


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
