"""The KV cache as a scheduler sees it: blocks that sequences take as they grow.

Made from a planned cache (`kv.py`), or by hand from what an engine's log says; `batching.py` counts
blocks in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.capacity.kv import KvCache

GROWING = ("full", "mla")
"""Kinds of layers that keep all of the past."""


@dataclass(frozen=True)
class Pool:
    """`blocks` blocks of `block` tokens, of which vLLM keeps one empty.

    For each `block` tokens a sequence takes a block of each of `groups` groups of layers. The
    others, windows and states, stop at `caps` blocks each; their share of a request's whole length
    is counted from its admission on.
    """

    blocks: int
    block: int = 16
    groups: int = 1
    caps: tuple[int, ...] = ()

    @classmethod
    def of(cls, cache: KvCache) -> Pool:
        """Return the pool of a planned cache."""
        made = [group.specs[0] for group in cache.layout.groups]
        growing = [spec for spec in made if spec.kind in GROWING]
        longest = np.array([cache.max_model_len], dtype=np.int64)
        caps = tuple(
            int(spec.blocks(longest, 0, cache.layout.states)[0])
            for spec in made
            if spec.kind not in GROWING
        )
        return cls(cache.blocks, (growing or made)[0].block, len(growing), caps)

    @property
    def usable(self) -> int:
        """Blocks that requests can have."""
        return self.blocks - 1

    def needed(self, tokens: int, final: int) -> int:
        """Return the blocks of a sequence of `tokens` tokens that will have `final` at its end."""
        whole = -(-final // self.block)
        return self.groups * -(-tokens // self.block) + sum(min(whole, cap) for cap in self.caps)

    def concurrency(self, tokens: float) -> float:
        """Return how many sequences of `tokens` tokens on average fit; the last block is half."""
        blocks = tokens / self.block + 0.5
        return self.usable / (self.groups * blocks + sum(min(blocks, cap) for cap in self.caps))
