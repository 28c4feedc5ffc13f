"""Slots of the KV cache that hold a token and slots that wait for one: static against paged.

An engine that reserves `max_model_len` slots for every request leaves most of them empty; one that
pages takes a block when the last is full, and wastes part of one block for each request. Counted
for the lengths of a traffic, when requests end and over the steps in which they live. `contexts`
says what lowering `max_model_len` buys, `recommend.py` chooses one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.capacity.kv import KvCache, KvLayout
from headrace.traffic.traffic import Counts, Traffic

_SHORTEST_CONTEXT = 1024


@dataclass(frozen=True)
class Slots:
    """Slots of one token each, or slots times steps: reserved ones and those with a token."""

    used: int
    reserved: int

    @property
    def wasted(self) -> float:
        """The share of reserved slots that hold nothing."""
        return 1 - self.used / self.reserved if self.reserved else 0.0


@dataclass(frozen=True)
class Waste:
    """What a traffic uses of its slots: when each request ends, and over the steps of its life.

    A step is one output token: the prompt is there from the first step on. `refused` is the share
    of requests that are longer than `max_model_len`; they are in no other figure.
    """

    max_model_len: int
    block: int
    refused: float
    static: Slots
    paged: Slots
    static_over_time: Slots
    paged_over_time: Slots


@dataclass(frozen=True)
class Context:
    """What one `max_model_len` means: `full` requests of that length fit at once, for certain.

    `observed` is how many of the traffic's own requests fit, each counted at its full length: with
    paging it hardly moves, for short requests hold short tables whatever the limit is. A static
    engine holds `full` requests whatever their lengths are.
    """

    max_model_len: int
    refused: float
    full: float
    observed: float


def waste(traffic: Traffic, max_model_len: int, block: int) -> Waste:
    """Return used and wasted slots of `traffic` under both ways to reserve them."""
    served = traffic.totals <= max_model_len
    prompts, outputs = traffic.prompts[served], traffic.outputs[served]
    totals = prompts + outputs
    used, steps = int(totals.sum()), int(outputs.sum())
    alive = int((_filled(totals, 1) - _filled(prompts, 1)).sum())
    in_blocks = int((_filled(totals, block) - _filled(prompts, block)).sum())
    return Waste(
        max_model_len=max_model_len,
        block=block,
        refused=_refused(served),
        static=Slots(used, len(totals) * max_model_len),
        paged=Slots(used, int((-(-totals // block) * block).sum())),
        static_over_time=Slots(alive, steps * max_model_len),
        paged_over_time=Slots(alive, in_blocks),
    )


def resident_blocks(layout: KvLayout, traffic: Traffic, max_model_len: int) -> float:
    """Return the mean blocks of a running request, each at its full length.

    Requests with long answers run longer, so of those that run at once they are more: requests
    count by their output tokens. 0 where all would be refused.
    """
    served = traffic.totals <= max_model_len
    if not served.any():
        return 0.0
    weights = np.maximum(traffic.outputs[served], 1)
    return float(np.average(layout.request_blocks(traffic.totals[served]), weights=weights))


def observed_concurrency(cache: KvCache, traffic: Traffic, max_model_len: int) -> float:
    """Return how many of the traffic's requests the cache holds at once."""
    blocks = resident_blocks(cache.layout, traffic, max_model_len)
    return max(cache.blocks - 1, 0) / blocks if blocks else 0.0


def contexts(
    cache: KvCache, traffic: Traffic, longest: int, lengths: Sequence[int] = ()
) -> tuple[Context, ...]:
    """Return what each of `lengths` means; without, powers of two up to `longest`, and that."""
    return tuple(
        Context(
            max_model_len=length,
            refused=_refused(traffic.totals <= length),
            full=cache.concurrency(length),
            observed=observed_concurrency(cache, traffic, length),
        )
        for length in lengths or _powers(longest)
    )


def _refused(served: npt.NDArray[np.bool_]) -> float:
    return 1 - float(np.mean(served))


def _powers(longest: int) -> list[int]:
    powers = [2**bits for bits in range(longest.bit_length())]
    return [length for length in powers if _SHORTEST_CONTEXT <= length < longest] + [longest]


def _filled(tokens: Counts, block: int) -> Counts:
    """Return the slots of whole blocks for 1 token, for 2, … for `tokens`, added up."""
    whole, rest = tokens // block, tokens % block
    return block * (block * whole * (whole + 1) // 2 + rest * (whole + 1))
