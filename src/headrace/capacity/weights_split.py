"""What of a model's weights lies on one rank: split over ranks and stages, or copied.

The embedding is on the first stage and the output head on the last; tensor parallelism splits all
matrices, and copies norms and those KV heads of which there are fewer than ranks. `memory.py` puts
the result into a rank's budget.
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.capacity.kv_groups import shards
from headrace.capacity.setup import Setup
from headrace.capacity.stages import stage_layers

OUTSIDE_WIDTH = 0.5
"""Bytes that a quantized matrix takes for each parameter at least. Where less would remain for
matrices beside a 16-bit embedding, the embedding is quantized too (GGUF does that)."""


class RankWeights(NamedTuple):
    """Bytes on one rank; `copied` are parts that other ranks of the stage hold as well."""

    split: float
    copied: float


class _Widths(NamedTuple):
    """Bytes for each parameter of the embedding and the head, of norms, and of matrices."""

    outside: float
    matrices: float


def rank_weights(setup: Setup) -> tuple[RankWeights, ...]:
    """Return what a rank of each stage holds."""
    return tuple(_of_stage(setup, stage) for stage in range(len(stage_layers(setup))))


def _of_stage(setup: Setup, stage: int) -> RankWeights:
    parameters, ranks = setup.architecture.parameters, setup.layout.tensor
    widths, layers = _widths(setup), stage_layers(setup)
    share = len(layers[stage]) / setup.architecture.layers
    shared = _shared(setup)
    split = share * (parameters.matrices - sum(whole for whole, _ in shared)) * widths.matrices
    split += _outside(setup, stage, len(layers)) * widths.outside
    copied = share * sum(whole / parts for whole, parts in shared) * widths.matrices
    return RankWeights(split / ranks, copied + share * parameters.norms * widths.outside)


def _outside(setup: Setup, stage: int, stages: int) -> int:
    """Return the parameters of embedding and head on a stage; a tied one is on the last as well."""
    parameters = setup.architecture.parameters
    first = parameters.embedding if stage == 0 else 0
    tied = parameters.embedding if stages > 1 and not parameters.head else 0
    return first + (parameters.head or tied if stage == stages - 1 else 0)


def _shared(setup: Setup) -> list[tuple[int, int]]:
    """Return the key and value projections that ranks share: parameters, and different parts."""
    ranks, hidden = setup.layout.tensor, setup.architecture.hidden
    return [
        (one.layers * hidden * one.kv_heads * (one.head_size + one.head_size_v), parts)
        for one in setup.architecture.attention
        if (parts := shards(one, ranks)) < ranks
    ]


def _widths(setup: Setup) -> _Widths:
    parameters, total = setup.architecture.parameters, setup.weights.total
    width = 4.0 if setup.architecture.dtype == "float32" else 2.0
    matrices = total - width * (parameters.outside + parameters.norms)
    if matrices < OUTSIDE_WIDTH * parameters.matrices:
        same = total / max(parameters.total, 1)
        return _Widths(same, same)
    return _Widths(width, matrices / max(parameters.matrices, 1))
