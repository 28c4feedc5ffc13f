"""What vLLM does where a file says nothing: defaults that decide memory and batches, by version.

Read from the wheel of 0.32.0 (`config/cache.py`, `EngineArgs.get_batch_defaults`); the change of
the share of memory lies between 0.19.1 and 0.20.2, the wheels that were looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packaging.version import Version

_HUGE, _LARGE = 160 * 2**30, 70 * 2**30
"""Bytes of memory from which vLLM takes larger batches; an A100 is never large."""
_UTILIZATION_SINCE = "0.20"
_ASYNC_SINCE = "0.14"


@dataclass(frozen=True)
class Defaults:
    """Tokens of a step, requests at once, tokens of a KV block, share of a GPU's memory."""

    max_num_batched_tokens: int
    max_num_seqs: int
    block: int
    gpu_memory_utilization: float
    async_scheduling: bool


def defaults(
    version: str, *, kind: Literal["cpu", "gpu"], memory: int, product: str, ranks: int = 1
) -> Defaults:
    """Return them for an API server; `memory` in bytes of one accelerator, `ranks` of a replica."""
    known = Version(version)
    tokens, seqs = _batch(memory, product) if kind == "gpu" else (2048 * ranks, 128 * ranks)
    return Defaults(
        max_num_batched_tokens=tokens,
        max_num_seqs=seqs,
        block=128 if kind == "cpu" else 16,
        gpu_memory_utilization=0.92 if known >= Version(_UTILIZATION_SINCE) else 0.9,
        async_scheduling=known >= Version(_ASYNC_SINCE),
    )


def _batch(memory: int, product: str) -> tuple[int, int]:
    """Return tokens of a step and requests at once of an API server on a GPU."""
    if memory >= _HUGE:
        return 16384, 1024
    if memory >= _LARGE and "a100" not in product.lower():
        return 8192, 1024
    return 2048, 256
