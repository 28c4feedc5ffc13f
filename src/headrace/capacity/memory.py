"""Memory of one rank, part by part, and what is left for the KV cache.

vLLM takes `gpu_memory_utilization` of what the device has, subtracts what it consumed after loading
and profiling, and gives the rest to the cache (`kv.py`). Weights are known; what the driver and
libraries take, the peak of activations (`activation.py`) and CUDA graphs are assumptions. Each part
carries its range, so that a comparison with an engine's log can say which of them was off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from packaging.version import Version

from headrace.capacity.activation import (
    LEAST_LOGIT_BYTES,
    LOGIT_BYTES,
    SORTED_LOGIT_BYTES,
    expert_workspace,
    layer_peak,
    sampling_peak,
)
from headrace.capacity.setup import Setup
from headrace.capacity.weights_split import RankWeights, rank_weights

MIB = 2**20
GIB = 2**30

PROCESS_OVERHEAD = 2000 * MIB
"""Bytes that API server, engine core and one worker take beside weights and cache.

Measured with vLLM 0.32.0 and SmolLM2 (269 MB of weights) at 1 GiB of KV cache: 3.19 GB PSS over
all processes after some dozens of requests, so 1,760 MiB besides: API server and engine core some
550 MiB each, the rest libraries and buffers of the worker. The KV cache is touched in full at
start.
"""
RANK_OVERHEAD = 700 * MIB
"""Bytes that each further worker takes."""

ENGINE = "0.32.0"
"""The vLLM that is planned for unless another is named."""
SMALL_SAMPLER = Version("0.17")
"""Before, sampling sorted the whole vocabulary of all requests."""
GRAPHS_COUNTED = Version("0.21")
"""Before, CUDA graphs took what `gpu_memory_utilization` had left."""
NO_MORE_SIZES = 512
"""Tokens of the largest batch that vLLM captures a graph for."""
GRAPHS = 51
"""Graphs up to `NO_MORE_SIZES` tokens."""


@dataclass(frozen=True)
class Part:
    """One part of a budget: bytes, between which values they are, and where that is from."""

    name: str
    bytes: int
    low: int
    high: int
    basis: str

    @property
    def exact(self) -> bool:
        """Whether nothing is assumed."""
        return self.low == self.high


@dataclass(frozen=True)
class Budget:
    """The memory of one rank: `requested` of `total` bytes, less `parts`, is the KV cache.

    `fixed` are the bytes of a cache that the file sets; then nothing checks that it fits, and
    `spare` may be negative.
    """

    total: int
    requested: int
    parts: tuple[Part, ...]
    fixed: int | None = None

    @property
    def used(self) -> int:
        """Bytes of everything but the cache."""
        return sum(part.bytes for part in self.parts)

    @property
    def kv(self) -> int:
        """Bytes for the KV cache; 0 where nothing is left."""
        return self._left(self.used)

    @property
    def kv_low(self) -> int:
        """The same if every assumption is off to the wrong side."""
        return self._left(sum(part.high for part in self.parts))

    @property
    def kv_high(self) -> int:
        """The same if every assumption is off to the good side."""
        return self._left(sum(part.low for part in self.parts))

    @property
    def spare(self) -> int:
        """Bytes of the device that nothing takes; negative where it cannot work.

        CUDA graphs of vLLM before 0.21 come out of it, and the driver's own half a GiB.
        """
        return self.total - self.used - self.kv

    def _left(self, used: int) -> int:
        return max(self.requested - used, 0) if self.fixed is None else self.fixed


def budgets(setup: Setup, engine: str = ENGINE) -> tuple[Budget, ...]:
    """Return the budget of a rank of each pipeline stage; `engine` is vLLM's version."""
    total = setup.accelerator.memory
    requested = math.ceil(total * setup.gpu_memory_utilization)
    weights, made = rank_weights(setup), []
    for stage, rank in enumerate(weights):
        last = stage == len(weights) - 1
        parts = _weight_parts(setup, rank)
        parts += _around(setup, last, Version(engine))
        made.append(Budget(total, requested, tuple(parts), setup.kv_bytes))
    return tuple(made)


def replica_memory(weight_bytes: int, kv_bytes: int, ranks: int = 1) -> int:
    """Return bytes of host memory that a CPU replica needs once it serves.

    `kv_bytes` is the whole replica's; weights are split over ranks, up to the small replicated
    parts.
    """
    return weight_bytes + kv_bytes + PROCESS_OVERHEAD + (ranks - 1) * RANK_OVERHEAD


def _around(setup: Setup, last: bool, version: Version) -> list[Part]:
    """Return the parts beside the weights, of a rank of the last stage or of another."""
    if setup.accelerator.kind == "cpu":
        return [_processes(setup)]
    parts = [_activation(setup, last, version), _libraries(setup)]
    optional = (_positions(setup), _graphs(setup, version), _images(setup))
    return parts + [part for part in optional if part is not None]


def _processes(setup: Setup) -> Part:
    """Return a rank's share of the processes of a CPU replica."""
    ranks = setup.layout.accelerators
    share = (PROCESS_OVERHEAD + (ranks - 1) * RANK_OVERHEAD) // ranks
    return _about("processes", share, 0.2, "measured with vLLM 0.32 and a small model")


def _weight_parts(setup: Setup, weights: RankWeights) -> list[Part]:
    """Return the weights of a rank; formulas for quantizations are within 2 % of checkpoints."""
    error = 0.0 if setup.weights.exact else 0.02
    basis = f"{setup.weights.basis}, {setup.layout}"
    parts = [_about("weights", weights.split, error, basis)]
    if setup.layout.tensor > 1:
        parts.append(
            _about("copied weights", weights.copied, error, "norms and KV heads on every rank")
        )
        return parts
    return [_about("weights", weights.split + weights.copied, error, basis)]


def _positions(setup: Setup) -> Part | None:
    """Return the table of rotary positions: one row for each position that the model allows."""
    sizes = [64 if one.kind == "mla" else one.head_size for one in setup.architecture.attention]
    size = setup.architecture.context * max(sizes) * 2
    return Part("rotary table", size, 0, size, "context * head size * 2 bytes") if size else None


def _activation(setup: Setup, last: bool, version: Version) -> Part:
    """Return the peak of the profile run, 5 % either way and less where sampling is done in place.

    Two work areas of experts are those of vLLM's Triton kernels; others may need none.
    """
    sorts = version < SMALL_SAMPLER
    logit = SORTED_LOGIT_BYTES if sorts else LOGIT_BYTES
    least = LEAST_LOGIT_BYTES if version >= GRAPHS_COUNTED else logit
    layers, experts = layer_peak(setup), expert_workspace(setup)
    sampling = sampling_peak(setup, logit) if last else 0.0
    least_sampling = sampling_peak(setup, least) if last else 0.0
    value = max(layers, sampling) + experts
    return Part(
        "activation peak",
        round(value),
        round(0.95 * max(layers, least_sampling)),
        round(1.05 * value),
        f"{setup.max_num_batched_tokens:,} tokens through the "
        + ("layers" if layers >= sampling else "model, then sampling")
        + f" for {setup.max_num_seqs:,} requests",
    )


def _libraries(setup: Setup) -> Part:
    """Return what is allocated outside of PyTorch: kernels, handles, buffers to talk through.

    Published for one rank: 0.02 GiB (vLLM 0.11), 0.25 (0.19 on an H100, an A100 about as much),
    0.46 (0.19 on an H100, Granite), 0.47 (0.29 on an RTX 3090). A plan with too few blocks wastes
    a little and one with too many does not start, so the value is from the upper end. With tensor
    parallelism 2.07 to 2.17 on an H100 (0.19), and 0.55 to 1.4 in other versions and cards.
    """
    if setup.layout.tensor > 1:
        return _gib("driver and libraries", 2.1, 0.55, 2.3, "published logs, TP 2 and more")
    return _gib("driver and libraries", 0.45, 0.02, 0.6, "published logs, upper end")


def _graphs(setup: Setup, version: Version) -> Part | None:
    """Return what CUDA graphs take: 1.04 GiB for 51 of them on an H100 (vLLM 0.19), 0.04 to 2.4."""
    if version < GRAPHS_COUNTED:
        return None
    share = _captured(setup) / GRAPHS
    return _gib("CUDA graphs", 1.04 * share, 0.04 * share, 2.4 * share, "published logs, mean")


def _captured(setup: Setup) -> int:
    """Return for how many batch sizes vLLM captures a graph: 1, 2, 4, then each 8th, each 16th."""
    largest = min(2 * setup.max_num_seqs, NO_MORE_SIZES)
    tiny = sum(largest >= size for size in (1, 2, 4))
    return tiny + min(largest, 256) // 8 + max(largest - 256, 0) // 16


def _images(setup: Setup) -> Part | None:
    """Return the images of the profile run; published: 0.1 to 0.3 GiB above a text model's peak."""
    if not setup.architecture.multimodal:
        return None
    return _gib("image encoder", 0.25, 0.0, 2.0, "published logs of multimodal models")


def _about(name: str, value: float, error: float, basis: str) -> Part:
    return Part(name, round(value), round(value * (1 - error)), round(value * (1 + error)), basis)


def _gib(name: str, value: float, low: float, high: float, basis: str) -> Part:
    return Part(name, round(value * GIB), round(low * GIB), round(high * GIB), basis)
