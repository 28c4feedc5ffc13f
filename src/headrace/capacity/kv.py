"""KV cache arithmetic for plain attention (MHA, GQA, MQA): bytes, blocks and full-length requests.

The formulas are vLLM's own (v1/kv_cache_interface.py and v1/core/kv_cache_utils.py of 0.32.0) and
hold to the block. Hybrid, sliding-window and MLA models need more and are not covered here.
"""

from __future__ import annotations

from dataclasses import dataclass

CPU_BLOCK = 128
"""Tokens in a block on a CPU, vLLM's default there."""
GPU_BLOCK = 16
"""Tokens in a block on a GPU, vLLM's default there."""


@dataclass(frozen=True)
class Attention:
    """What one token costs in the cache; `dtype_bytes` is 2 for bf16 and fp16, 1 for fp8."""

    layers: int
    kv_heads: int
    head_size: int
    dtype_bytes: int = 2

    def token_bytes(self, ranks: int = 1) -> int:
        """Return bytes per token on one rank; heads are replicated when there are too few."""
        heads = max(1, self.kv_heads // ranks)
        return 2 * self.layers * heads * self.head_size * self.dtype_bytes


@dataclass(frozen=True)
class KvCache:
    """A cache of `blocks` blocks of `block` tokens each, on every rank."""

    blocks: int
    block: int

    @property
    def tokens(self) -> int:
        """Tokens that the cache holds."""
        return self.blocks * self.block

    def concurrency(self, max_model_len: int) -> float:
        """Return how many requests of full length fit, as vLLM logs it."""
        return self.blocks / _blocks_for(max_model_len, self.block)

    def fits(self, max_model_len: int) -> bool:
        """Say whether vLLM starts: one request of full length beside the block it keeps empty."""
        return self.blocks - 1 >= _blocks_for(max_model_len, self.block)


def kv_cache(attention: Attention, rank_bytes: int, block: int, ranks: int = 1) -> KvCache:
    """Return the cache that `rank_bytes` bytes on each rank give."""
    return KvCache(rank_bytes // (attention.token_bytes(ranks) * block), block)


def _blocks_for(tokens: int, block: int) -> int:
    return -(-tokens // block)
