"""The KV cache of a plan against a log: bytes on a rank, then blocks, tokens, requests at once.

Versions tell different ones of these; what a log leaves out is worked out from what it says, to
the block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from headrace.capacity.fits import Fit
from headrace.capacity.kv import KvCache, KvLayout, kv_cache
from headrace.capacity.setup import Layout
from headrace.engines.vllm_memory_lines import Said
from headrace.engines.vllm_memory_log import MemorySaid, RankSaid
from headrace.planning.check_row import Planned, Row, row

_DIGITS = 0.005 + 1e-6
"""The concurrency is logged with two digits; a difference of floats may be a hair over a half."""


def following_rows(fit: Fit, said: MemorySaid, worst: Row | None) -> Iterator[Row]:
    """Yield the rows of the cache; where they are off, `worst` is what to blame."""
    blame = worst.part if worst else "more than the log tells"
    for stage, budget in enumerate(fit.budgets):
        found = available(fit, said, stage)
        if found is not None:
            name = "KV cache" + (f", stage {stage}" if len(fit.budgets) > 1 else "")
            why = "fixed in the file" if budget.fixed is not None else "what the parts leave"
            planned = Planned(budget.kv, budget.kv_low, budget.kv_high, why)
            yield row(name, planned, found.bytes, found.rounding, blame=blame)
    yield from _counts(fit, said, blame)


def _counts(fit: Fit, said: MemorySaid, blame: str) -> Iterator[Row]:
    """Yield what the cache holds, in the units that the log tells."""
    caches = (fit.cache, _cache(fit, "kv_low"), _cache(fit, "kv_high"))
    blocks = blocks_said(fit, said)
    if blocks is not None:
        planned = _counted([one.blocks for one in caches])
        yield row("KV blocks", planned, blocks, unit="blocks", blame=blame)
    if said.tokens is not None:
        planned = _counted([_tokens(one, said) for one in caches])
        yield row("KV tokens", planned, said.tokens, unit="tokens", blame=blame)
    if said.concurrency is not None:
        longest = said.max_model_len or fit.setup.max_model_len
        planned = _counted([one.concurrency(longest) for one in caches])
        part = f"requests of {longest:,} tokens"
        yield row(part, planned, said.concurrency, _DIGITS, unit="requests", blame=blame)


def _counted(values: Sequence[float]) -> Planned:
    value, low, high = values
    return Planned(value, low, high, "whole blocks of the cache")


def _cache(fit: Fit, bound: str) -> KvCache:
    """Return the cache if every assumption is off to one side."""
    return kv_cache(fit.setup, [getattr(budget, bound) for budget in fit.budgets])


def _tokens(cache: KvCache, said: MemorySaid) -> int:
    """Return the tokens of a cache as this version writes them."""
    if said.tokens_by_group:
        return cache.blocks // len(cache.layout.groups) * _block(cache.layout)
    return cache.tokens


def blocks_said(fit: Fit, said: MemorySaid) -> int | None:
    """Return the blocks that a log tells, or that its tokens come from.

    Tokens are blocks / blocks of a request * max_model_len, rounded down; a request has fewer
    blocks than tokens, so only one number of blocks fits.
    """
    if said.blocks is not None or said.tokens is None:
        return said.blocks
    layout = fit.cache.layout
    if said.tokens_by_group:
        return said.tokens // _block(layout) * len(layout.groups)
    longest = said.max_model_len or fit.setup.max_model_len
    return math.ceil(said.tokens * layout.blocks_for(longest) / longest)


def _block(layout: KvLayout) -> int:
    """Return the tokens of the smallest block, which the engine counts in."""
    return min(group.specs[0].block for group in layout.groups)


def of_stage(fit: Fit, said: MemorySaid, stage: int) -> list[RankSaid]:
    """Return what the ranks of one stage said; of which stage one is must be told or clear."""
    layout = fit.setup.layout
    nameless = sum(one.stage is None and one.ordinal is None for one in said.ranks)
    clear = layout.pipeline == 1 or nameless == 1
    return [one for one in said.ranks if _stage(one, layout, clear=clear) == stage]


def _stage(rank: RankSaid, layout: Layout, *, clear: bool) -> int | None:
    if rank.stage is not None:
        return rank.stage
    if rank.ordinal is not None:
        return rank.ordinal // layout.tensor
    return 0 if clear else None


def tightest(ranks: Sequence[RankSaid]) -> Said | None:
    """Return the smallest cache of some ranks: it decides for all."""
    return min((one.available for one in ranks if one.available), default=None)


def available(fit: Fit, said: MemorySaid, stage: int) -> Said | None:
    """Return the cache of a stage as told, else what its blocks take, which is a little less."""
    told = tightest(of_stage(fit, said, stage))
    blocks = blocks_said(fit, said)
    if told is not None or blocks is None or len(fit.budgets) > 1:
        return told
    each = fit.cache.layout.block_bytes[0]
    return Said(blocks * each, each)
