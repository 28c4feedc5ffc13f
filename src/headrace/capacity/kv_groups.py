"""How vLLM 0.32 lays a model's layers into one KV cache: pages, groups, blocks for a request.

Layers that keep the same share one table of blocks: a group. All groups take blocks from one pool,
so all must have pages of one size, and groups as many layers, padding included. What a block costs
is therefore what the largest group costs. The rules are those of v1/core/kv_cache_utils.py and
v1/kv_cache_interface.py with the layouts that keep layers apart (the default); `kv.py` counts
blocks with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headrace.capacity.setup import Setup
from headrace.capacity.stages import spread
from headrace.models.architecture import Attention, AttentionKind
from headrace.traffic.traffic import Counts

MLA_BLOCK = 128
"""Blocks of MLA layers beside state layers are a multiple of this many tokens."""
STATES = 2
"""Blocks of a request in a state layer beside attention: the state, and the one before it, so that
prefixes can be cached. A model of state layers only caches none and needs one."""
MUCH_LARGER = 1.5
"""From this ratio of layer counts on, large kinds are split instead of small ones padded."""


@dataclass(frozen=True)
class Spec:
    """What one layer keeps on one rank: `page` bytes for each block of `block` tokens."""

    kind: AttentionKind
    window: int | None
    shape: tuple[int, int]
    """Heads and bytes of a head: layers that differ here never share a group with a window."""
    block: int
    page: int

    def blocks(self, tokens: Counts, in_flight: int, states: int) -> Counts:
        """Return the blocks that requests of `tokens` tokens hold at most.

        Windows keep what is being computed too: `in_flight` tokens are freed only once computed.
        A window rarely begins with a block, so it needs one more.
        """
        if self.kind == "state":
            return np.full_like(tokens, states)
        if self.kind in ("full", "mla"):
            return -(-tokens // self.block)
        window = self.window or 0
        if self.kind == "chunked":
            return -(-np.minimum(window + in_flight, tokens) // self.block)
        return -(-np.minimum(window - 1 + in_flight, tokens) // self.block) + 1


@dataclass(frozen=True)
class Group:
    """Layers that share a table of blocks; `padding` are places of the group without a layer."""

    specs: tuple[Spec, ...]
    """One, unless layers need the same blocks but different pages."""
    layers: tuple[tuple[int, int], ...]
    """Each layer's place in the model and its page."""
    padding: int = 0

    def blocks(self, tokens: Counts, in_flight: int, states: int) -> Counts:
        """Return the blocks that requests of `tokens` tokens hold at most in this group."""
        return self.specs[0].blocks(tokens, in_flight, states)

    def block_bytes(self, stage: range) -> int:
        """Return what one block of this group takes on a rank of `stage`."""
        return sum(page for layer, page in self.layers if layer in stage)


def groups(setup: Setup) -> tuple[Group, ...]:
    """Return the groups of a model; ValueError where vLLM finds none for it."""
    kinds = _specs(setup)
    layers = dict(zip(kinds, spread(list(kinds.values())), strict=True))
    if _one_table(list(kinds)):
        return (_group(layers),)
    pages = {spec: _with_page(spec, max(one.page for one in kinds)) for spec in kinds}
    if any(page is None for page in pages.values()):
        return _all_full(layers)
    buckets: dict[Spec, list[int]] = {}
    for spec, page in pages.items():
        if page is not None:
            buckets.setdefault(page, []).extend(layers[spec])
    return tuple(_split(buckets))


def shards(attention: Attention, ranks: int) -> int:
    """Return how many ranks hold different parts; beyond that they hold copies.

    MLA keeps one vector for all heads, which every rank needs.
    """
    if attention.kind == "mla":
        return 1
    return ranks if attention.kind == "state" else min(ranks, attention.kv_heads)


def _specs(setup: Setup) -> dict[Spec, int]:
    """Return the distinct specs and how many layers have each."""
    block = _block(setup)
    counts: dict[Spec, int] = {}
    for attention in setup.architecture.attention:
        heads, size = shape = _shape(attention, setup)
        tokens = 1 if attention.kind == "state" else block
        window = attention.window if attention.kind in ("sliding", "chunked") else None
        spec = Spec(attention.kind, window, shape, block, tokens * heads * size)
        counts[spec] = counts.get(spec, 0) + attention.layers
    return {spec: count for spec, count in counts.items() if count}


def _shape(attention: Attention, setup: Setup) -> tuple[int, int]:
    """Return heads on one rank and bytes of each: of a token's key and value, or of a state."""
    ranks = setup.layout.tensor
    if attention.kind == "state":
        return 1, -(-attention.state_bytes // ranks)
    heads = max(1, attention.kv_heads // ranks)
    return heads, (attention.head_size + attention.head_size_v) * setup.kv_dtype_bytes


def _block(setup: Setup) -> int:
    """Return the tokens of a block; beside state layers, enough for the page to hold a state."""
    sizes = [(one.kind, math.prod(_shape(one, setup))) for one in setup.architecture.attention]
    state = max((size for kind, size in sizes if kind == "state"), default=0)
    token = max((size for kind, size in sizes if kind != "state"), default=0)
    if not state or not token:
        return setup.block
    mla = any(kind == "mla" for kind, _ in sizes)
    step = max(setup.block, MLA_BLOCK) if mla else setup.block
    return step * math.ceil(state / (step * token))


def _one_table(specs: Sequence[Spec]) -> bool:
    """Say whether all layers need the same blocks, whatever their pages are."""
    kinds = {"full" if one.kind == "mla" else one.kind for one in specs}
    same = len(kinds) == 1 and len({one.window for one in specs}) == 1
    return same and (kinds != {"state"} or len(specs) == 1)


def _group(layers: dict[Spec, tuple[int, ...]]) -> Group:
    places = [(layer, spec.page) for spec, which in layers.items() for layer in which]
    return Group(tuple(layers), tuple(sorted(places)))


def _with_page(spec: Spec, page: int) -> Spec | None:
    """Return `spec` with a page of `page` bytes: a longer block, or padding; None if it cannot.

    States are padded. Rows of MLA pages must follow each other, so those cannot be.
    """
    if spec.kind != "state" and page % spec.page == 0:
        return replace(spec, block=spec.block * (page // spec.page), page=page)
    return None if spec.kind == "mla" else replace(spec, page=page)


def _all_full(layers: dict[Spec, tuple[int, ...]]) -> tuple[Group, ...]:
    """Return one group in which windows are kept in full, which vLLM does beside MLA."""
    if not all(spec.kind in ("mla", "full", "sliding") for spec in layers):
        kinds = ", ".join(sorted({spec.kind for spec in layers}))
        raise ValueError(
            f"vLLM has no common page size for these layers ({kinds}): the pages of MLA cannot be "
            "padded; another block size may do"
        )
    full = [(replace(spec, kind="full", window=None), which) for spec, which in layers.items()]
    specs = tuple(dict.fromkeys(spec for spec, _ in full))
    return (Group(specs, tuple(sorted((at, spec.page) for spec, which in full for at in which))),)


def _split(buckets: dict[Spec, list[int]]) -> list[Group]:
    """Return groups of one size: the smallest kind's, or if they are close the largest kind's."""
    counts = [len(layers) for layers in buckets.values()]
    size = max(counts) if max(counts) < min(counts) * MUCH_LARGER else min(counts)
    made = []
    for spec, unsorted in buckets.items():
        layers, many = sorted(unsorted), -(-len(unsorted) // size)
        for first in range(many):
            # Every many-th layer, so that each pipeline stage has some of each group.
            part = layers[first::many]
            places = tuple((layer, spec.page) for layer in part)
            made.append(Group((spec,), places, size - len(part)))
    return made
