"""How many KV blocks, tokens and requests a cache holds, to the block as vLLM 0.32 counts them.

`kv_groups.py` has the rules for pages and groups, `memory.py` the bytes that are there. Plain
attention, windows, chunks, MLA, states and mixtures of them; tensor parallelism splits KV heads
and copies them where there are too few, a pipeline splits layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.capacity.kv_groups import STATES, Group, groups
from headrace.capacity.setup import Setup
from headrace.capacity.stages import stage_layers
from headrace.traffic.traffic import Counts

CPU_BLOCK = 128
"""Tokens in a block on a CPU, vLLM's default there."""


@dataclass(frozen=True)
class KvLayout:
    """The cache of one replica whatever its size; `block_bytes` of a rank, stage by stage."""

    groups: tuple[Group, ...]
    block_bytes: tuple[int, ...]
    in_flight: int
    """Tokens that are being computed at most: what windows hold beside themselves."""
    states: int

    @property
    def padding(self) -> int:
        """Places in the pool that no layer uses."""
        return sum(group.padding for group in self.groups)

    def request_blocks(self, tokens: Counts) -> Counts:
        """Return the blocks that requests of `tokens` tokens, prompt and answer, need at most."""
        total = np.zeros_like(tokens)
        for group in self.groups:
            total += group.blocks(tokens, self.in_flight, self.states)
        return total

    def blocks_for(self, tokens: int) -> int:
        """Return the blocks that one request of `tokens` tokens needs at most."""
        return int(self.request_blocks(np.array([tokens], dtype=np.int64))[0])


@dataclass(frozen=True)
class KvCache:
    """A cache of `blocks` blocks on every rank, one of which vLLM never gives away."""

    layout: KvLayout
    blocks: int
    max_model_len: int

    @property
    def tokens(self) -> int:
        """Tokens that the cache holds, as vLLM logs it: in requests of full length."""
        return int(self.concurrency() * self.max_model_len)

    def concurrency(self, tokens: int | None = None) -> float:
        """Return how many requests of `tokens` fit; without, those of full length, as logged."""
        return self.blocks / self.layout.blocks_for(tokens or self.max_model_len)

    def fits(self, tokens: int | None = None) -> bool:
        """Say whether vLLM starts: one such request fits beside the block it keeps empty."""
        return self.layout.blocks_for(tokens or self.max_model_len) < self.blocks

    def longest(self, limit: int) -> int:
        """Return the largest max_model_len up to `limit` that fits, 0 if none: `auto` in vLLM."""
        low, high = 0, limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.fits(middle) else (low, middle - 1)
        return low


def kv_layout(setup: Setup) -> KvLayout:
    """Return how the cache of `setup` is laid out."""
    made, kinds = groups(setup), setup.architecture.attention
    return KvLayout(
        groups=made,
        block_bytes=tuple(
            max(group.block_bytes(stage) for group in made) for stage in stage_layers(setup)
        ),
        in_flight=setup.max_num_batched_tokens * _batches(setup),
        states=1 if all(one.kind == "state" for one in kinds) else STATES,
    )


def kv_cache(setup: Setup, available: int | Sequence[int]) -> KvCache:
    """Return the cache that `available` bytes give: of each rank, or of a rank of each stage.

    The stage with the fewest blocks decides for all.
    """
    layout = kv_layout(setup)
    stages = [available] * len(layout.block_bytes) if isinstance(available, int) else available
    blocks = min(
        max(given, 0) // each for given, each in zip(stages, layout.block_bytes, strict=True)
    )
    return KvCache(layout, blocks, setup.max_model_len)


def _batches(setup: Setup) -> int:
    """Return how many batches are computed at once: one each stage, and one being prepared."""
    return setup.layout.pipeline + setup.async_scheduling
