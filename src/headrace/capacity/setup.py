"""Everything that decides what one replica can do; all of `capacity` starts from this.

`memory.py` says what fits beside the weights, `kv.py` how many requests that is, `roofline.py` how
long a step takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.hardware.accelerator import Accelerator
from headrace.models.architecture import Architecture
from headrace.models.weight_bytes import Weights

GPU_MEMORY_UTILIZATION = 0.92
"""vLLM's default since 0.32 (it was 0.9)."""


@dataclass(frozen=True)
class Layout:
    """How a replica is spread: `tensor` accelerators share each layer, `pipeline` stages follow."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def accelerators(self) -> int:
        """Accelerators of one replica."""
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        """As people write it."""
        return f"TP{self.tensor}" + (f" x PP{self.pipeline}" if self.pipeline > 1 else "")


@dataclass(frozen=True)
class Setup:
    """One replica: model, accelerator, layout, and the engine's capacity flags (tokens, requests).

    `kv_dtype_bytes` is 2 for bf16 and 1 for fp8; `block` are tokens in a KV block. `kv_bytes` is
    the cache of each rank where the file fixes it, instead of `gpu_memory_utilization`.
    """

    architecture: Architecture
    weights: Weights
    accelerator: Accelerator
    layout: Layout = field(default_factory=Layout)
    max_model_len: int = 8192
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 8192
    gpu_memory_utilization: float = GPU_MEMORY_UTILIZATION
    kv_dtype_bytes: int = 2
    kv_bytes: int | None = None
    block: int = 16
    async_scheduling: bool = True
