"""What is the same for every engine in a Pod: images, caches, probes, and what only vLLM can do.

The engines' own files (`tgi.py`, `sglang.py`, …) put their containers together from this.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

from packaging.version import Version

from headrace.engines.container import Probe, Spot
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware

T = TypeVar("T")
Reasoned = dict[str, tuple[T, str]]
"""Values by flag or variable, each with the reason why it is there."""

EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a Pod, which a NetworkPolicy guards
USUAL_GPUS = 8
"""GPUs of a node, where the hardware does not say."""
_PINNED = re.compile(r"@sha256:[0-9a-f]{64}$|:[\w][\w.-]*$")
_STARTUP_PERIOD = 5


def image_of(deployment: Deployment, image: str) -> str:
    """Return the image that the file names, else the version's own."""
    return deployment.engine.image or image


def three(version: str) -> str:
    """Write a version as an image's tag has it: 2.4 is 2.4.0."""
    return version if version.count(".") > 1 else f"{version}.0"


def full(deployment: Deployment) -> Deployment:
    """Return the deployment; ValueError if it still has a field that says `auto`."""
    if deployment.open:
        raise ValueError(f"not filled in yet: {', '.join(sorted(deployment.open))}")
    return deployment


def cache_environment(spot: Spot) -> Reasoned[str]:
    """Return variables that keep an engine offline, and its caches where they survive."""
    survive = "caches survive a restart of the container"
    home = "engines write below it, and the image's belongs to root"
    return {
        "HF_HUB_OFFLINE": ("1", "weights are verified and mounted; nothing is fetched at start"),
        "HF_HOME": (f"{spot.cache_path}/huggingface", survive),
        "HOME": (spot.cache_path, home),
        "USER": ("headrace", "the user has no entry in the image's list, where PyTorch looks"),
        "XDG_CACHE_HOME": (spot.cache_path, survive),
        "TORCHINDUCTOR_CACHE_DIR": (f"{spot.cache_path}/inductor", survive),
        "TRITON_CACHE_DIR": (f"{spot.cache_path}/triton", survive),
    }


def own_environment(deployment: Deployment) -> Reasoned[str]:
    """Return the variables of the file."""
    return {name: (value, "engine.env") for name, value in deployment.engine.env.items()}


def values(reasoned: Mapping[str, tuple[T, str]]) -> dict[str, T]:
    """Return them without their reasons."""
    return {name: value for name, (value, _) in reasoned.items()}


def why(*reasoned: Mapping[str, tuple[object, str]], dashes: str = "") -> dict[str, str]:
    """Return the reasons by name."""
    return {f"{dashes}{name}": reason for part in reasoned for name, (_, reason) in part.items()}


def startup_probe(deployment: Deployment, path: str, means: str, *, timeout: int = 5) -> Probe:
    """Return a probe that gives up after `lifecycle.startup`."""
    failures = math.ceil(deployment.lifecycle.startup / _STARTUP_PERIOD)
    return Probe(path, "http", timeout, _STARTUP_PERIOD, max(1, failures), means)


def readiness_probe(path: str, means: str, *, timeout: int = 5) -> Probe:
    """Return a probe that takes a replica out of service within some ten seconds."""
    return Probe(path, "http", timeout, 5, 2, means)


def liveness_probe(path: str, means: str, *, timeout: int = 5, period: int = 10) -> Probe:
    """Return a probe that restarts the container after a minute of failures."""
    return Probe(path, "http", timeout, period, max(2, math.ceil(60 / period)), means)


def spans_nodes(deployment: Deployment, hardware: Hardware) -> bool:
    """Whether a replica has more accelerators than a node."""
    each = hardware.per_node or USUAL_GPUS
    return hardware.nodes > 1 and deployment.accelerators > each


def image_problems(deployment: Deployment) -> Iterator[tuple[Path_, str]]:
    """Yield what is wrong with the image that the file names."""
    image = deployment.engine.image
    if image is None:
        return
    if not _PINNED.search(image):
        yield ("engine", "image"), f"{image} has no tag or digest, so it may change by itself"
    elif image.endswith(":latest"):
        yield ("engine", "image"), "the tag latest changes by itself; name a version or a digest"


def common_problems(
    title: str, version: str, oldest: str, deployment: Deployment, hardware: Hardware
) -> Iterator[tuple[Path_, str]]:
    """Yield what no version of the engines beside vLLM can do."""
    if Version(version) < Version(oldest):
        message = f"{title} {version} is older than {oldest}, the oldest that Headrace knows"
        yield ("engine", "version"), message
    yield from image_problems(deployment)
    if hardware.kind == "cpu":
        yield ("engine", "name"), f"{title} needs GPUs; on a CPU use vllm"
    if deployment.kv_cache is not None:
        message = f"{title} takes no size in bytes; set gpu_memory_utilization"
        yield ("kv_cache",), message


def quantization_problem(
    title: str, version: str, deployment: Deployment, formats: frozenset[str]
) -> Iterator[tuple[Path_, str]]:
    """Yield a quantization that the engine cannot be told; no formats: it takes none."""
    wanted = deployment.quantization
    if wanted is None or wanted in formats:
        return
    if not formats:
        read = "reads it from the weights"
        message = f"{title} {read}; take a quantized checkpoint and leave this out"
    else:
        message = f"{title} {version} has no {wanted}; it has {', '.join(sorted(formats))}"
    yield ("quantization",), message
