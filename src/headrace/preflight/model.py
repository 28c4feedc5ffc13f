"""What the catalogue says of an engine's model and GPU, and what the plan's arithmetic makes of it.

A model or GPU that the catalogue does not know gives no answer, and rules stay silent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from headrace.capacity.fits import Fit, fit
from headrace.capacity.memory import ENGINE
from headrace.capacity.setup import Layout, Setup
from headrace.engines.vllm_defaults import defaults
from headrace.hardware.accelerator import Accelerator
from headrace.hardware.catalogue import UnknownAcceleratorError, accelerators, find_accelerator
from headrace.models.architecture import Architecture
from headrace.models.catalogue import known_model
from headrace.models.errors import WeightsError
from headrace.models.weight_bytes import Weights, weights_by_formula
from headrace.planning.unplanned import OTHER_MEMORY
from headrace.preflight.engine import Engine
from headrace.preflight.node import Node
from headrace.preflight.workload import Workload

_PRODUCT_LABELS = (
    "nvidia.com/gpu.product", "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name", "gpu.nvidia.com/model", "gpu.nvidia.com/class",
)  # fmt: skip
_LENGTH_FLAGS = ("max-model-len", "context-length", "max-total-tokens", "max-seq-len")
_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kKmM]?)")
_UNITS = {"": 1, "k": 1000, "K": 1024, "m": 1_000_000, "M": 1 << 20}
START = 60.0
"""Seconds of a start beside loading: process, profiling, graphs. One published start of an 8B model
is 277 s (vllm#44881), so this is on the low side on purpose."""
LOAD = 1e9
"""Bytes a second from a volume to a GPU, an optimistic figure."""
_LONG = 32_768
"""Tokens from which a model's maximum is more than people ask for by default."""
_ROOMY = 16
"""Requests of full length at once from which the length takes nothing from anybody."""


def architecture(engine: Engine) -> Architecture | None:
    """Return the engine's model, if the catalogue knows it."""
    return known_model(engine.model) if engine.model else None


def weights(engine: Engine, model: Architecture) -> Weights | None:
    """Return the model's bytes in the quantization that the engine is told."""
    try:
        return weights_by_formula(model, engine.arguments.value("quantization"))
    except WeightsError:
        return None


def asked_length(engine: Engine) -> int | None:
    """Return the tokens that a request may have; None where no flag says a number."""
    found = _HUMAN.fullmatch(engine.arguments.value(*_LENGTH_FLAGS) or "")
    return int(float(found[1]) * _UNITS[found[2]]) if found else None


def length_node(engine: Engine) -> Node:
    """Return where that is written, else where the engine is named."""
    return engine.arguments.node(*_LENGTH_FLAGS) or engine.model_node


def says_length(engine: Engine) -> bool:
    """Whether a flag says anything about it, be it `auto`."""
    return engine.arguments.has(*_LENGTH_FLAGS)


def cold_start(engine: Engine) -> float:
    """Return the least seconds that a start takes, weights on a volume."""
    model = architecture(engine)
    known = weights(engine, model) if model else None
    return START + (known.total / LOAD if known else 0.0)


def named_gpus(workload: Workload) -> list[Accelerator]:
    """Return the GPUs that the Pod asks for by name; empty where it takes any."""
    found = []
    for name in _products(workload):
        try:
            found.append(find_accelerator(re.sub(r"-(SHARED|MIG.*)$", "", name)))
        except UnknownAcceleratorError:
            return []
    return found


def _products(workload: Workload) -> Iterator[str]:
    for label in _PRODUCT_LABELS:
        if workload.pod["nodeSelector"][label]:
            yield workload.pod["nodeSelector"][label].text
    node_affinity = workload.pod.at("affinity", "nodeAffinity")
    required = node_affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    for term in required["nodeSelectorTerms"].each():
        for one in term["matchExpressions"].each():
            if one["key"].text in _PRODUCT_LABELS and one["operator"].text == "In":
                yield from (value.text for value in one["values"].each())


@dataclass(frozen=True)
class Room:
    """What memory says of an engine on the best of its possible GPUs."""

    fit: Fit
    named: bool
    """Whether the manifest names the GPU; else it is the largest that is known."""


def long_context(asked: int | None, model: Architecture, held: Fit | None) -> str:
    """Say that one request may take the whole KV cache; empty where nobody would notice.

    `held` is what memory says, None where too little is known.
    """
    if model.context < _LONG or (asked is not None and asked < model.context):
        return ""
    if held and held.ok and held.cache.concurrency() >= _ROOMY:
        return ""
    if asked is None:
        said = f"no length is set, so a request may have the model's maximum, {model.context:,}"
        said += " tokens"
    else:
        relation = "is" if asked == model.context else "is more than"
        said = f"a request may have {asked:,} tokens, which {relation} the model's maximum"
    return f"{said}: one such request may take the whole KV cache"


def room(workload: Workload, engine: Engine) -> Room | None:
    """Return it for vLLM with a known model; None where too much is unknown."""
    model = architecture(engine)
    size = weights(engine, model) if model else None
    stages = _stages(workload, engine)
    if model is None or size is None or stages is None or not _judged(workload, engine):
        return None
    named = named_gpus(workload)
    gpus = named or [one for one in accelerators() if one.kind == "gpu"]
    best = max(gpus, key=lambda gpu: gpu.memory)
    return Room(
        fit(_setup(engine, model, size, best, stages), engine.version or ENGINE), bool(named)
    )


def _judged(workload: Workload, engine: Engine) -> bool:
    """Whether the arithmetic applies: vLLM on whole GPUs, with nothing that changes the memory."""
    plain = not engine.arguments.has(*OTHER_MEMORY)
    length = asked_length(engine) is not None or not says_length(engine)
    gpus = workload.gpus(engine.container)
    return engine.name == "vllm" and plain and length and gpus is not None and not engine.opaque


def _stages(workload: Workload, engine: Engine) -> int | None:
    """Return the pipeline's stages, also where the size of the group of Pods decides."""
    if engine.pipeline is not None:
        return engine.pipeline
    given = engine.arguments.value("pipeline-parallel-size", "pp-size", "pp") or ""
    return workload.nodes if "LWS_GROUP_SIZE" in given else None


def _setup(
    engine: Engine, model: Architecture, size: Weights, gpu: Accelerator, stages: int
) -> Setup:
    given, layout = engine.arguments, Layout(engine.tensor, stages)
    known = defaults(
        engine.version or ENGINE,
        kind="gpu",
        memory=gpu.memory,
        product=gpu.name,
        ranks=layout.accelerators,
    )
    return Setup(
        architecture=model,
        weights=size,
        accelerator=gpu,
        layout=layout,
        max_model_len=asked_length(engine) or model.context,
        max_num_seqs=int(given.number("max-num-seqs") or known.max_num_seqs),
        max_num_batched_tokens=int(
            given.number("max-num-batched-tokens") or known.max_num_batched_tokens
        ),
        gpu_memory_utilization=given.number("gpu-memory-utilization")
        or known.gpu_memory_utilization,
        kv_dtype_bytes=1 if str(given.value("kv-cache-dtype")).startswith("fp8") else 2,
        async_scheduling=known.async_scheduling,
    )
