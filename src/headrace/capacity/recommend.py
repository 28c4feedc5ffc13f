"""Values for the three capacity flags from a traffic, each with its reason in figures.

`max_model_len` from the lengths of requests, `max_num_batched_tokens` from the prompts,
`max_num_seqs` from the requests that the KV cache holds at those lengths. More requests and more
tokens in a step leave less memory for the cache, so they are found together. What an SLO adds is
the caller's: a longest step here, fewer requests at once later.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import numpy as np

from headrace.capacity.kv import KvCache, kv_cache
from headrace.capacity.layer_costs import compute_rate
from headrace.capacity.memory import ENGINE, budgets
from headrace.capacity.setup import Setup
from headrace.capacity.waste import observed_concurrency, resident_blocks
from headrace.traffic.traffic import Counts, Traffic

SERVED = 0.999
"""Quantile of prompts and of answers that must fit."""
LENGTHS = 256
"""`max_model_len` is a multiple of so many tokens."""
SEQS = (*range(1, 8), *range(8, 1025, 8))
"""`max_num_seqs` to choose from: CUDA graphs are captured for multiples of 8, and 1,024 is vLLM's
own default on large GPUs."""
STEPS = (512, 1024, 2048, 4096, 8192, 16_384)
"""`max_num_batched_tokens` to choose from."""
USUAL_STEP = 2048
"""vLLM's default on small GPUs; less only where a longest step asks for it."""
PROMPTS = 0.9
"""Quantile of prompts that are read in one step."""
FEW = 16
"""Requests at once that the longest must leave memory for; more of them never make it shorter."""
WORTH_SAYING = 0.001
"""Share of concurrency from which on its loss is mentioned."""


@dataclass(frozen=True)
class Choice:
    """A value for one flag, and a sentence or two that say why."""

    flag: str
    value: int
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """The three flags, and `setup` with them."""

    setup: Setup
    max_model_len: Choice
    max_num_seqs: Choice
    max_num_batched_tokens: Choice

    @property
    def choices(self) -> tuple[Choice, Choice, Choice]:
        """All three, in the order in which they are explained."""
        return self.max_model_len, self.max_num_seqs, self.max_num_batched_tokens


@dataclass(frozen=True)
class _Wanted:
    """What is asked for; `longest_step` in seconds, `length` before it meets the cache."""

    traffic: Traffic
    longest_step: float
    engine: str
    length: int

    def flags(self, setup: Setup, seqs: int) -> Setup:
        """Return `setup` for so many requests at once, with a step that suits them."""
        step = _step(setup, self.traffic.prompts, seqs, self.longest_step)
        return replace(setup, max_num_seqs=seqs, max_num_batched_tokens=step)

    def cache(self, setup: Setup) -> KvCache:
        return kv_cache(setup, [budget.kv for budget in budgets(setup, self.engine)])

    def holds(self, setup: Setup, seqs: int) -> bool:
        """Say whether so many of the traffic's requests fit at once, and one of full length."""
        cache = self.cache(self.flags(setup, seqs))
        observed = observed_concurrency(cache, self.traffic, setup.max_model_len)
        return cache.fits() and observed >= seqs


def recommend(
    setup: Setup,
    traffic: Traffic,
    *,
    served: float = SERVED,
    longest_step: float = math.inf,
    engine: str = ENGINE,
) -> Recommendation:
    """Recommend flags for `traffic` on the hardware of `setup`, whatever its own flags are.

    `longest_step` are seconds that a stream may wait for a token while prompts are read. Where not
    one request fits, the reasons say so.
    """
    wanted = _Wanted(
        traffic, longest_step, engine, enough(traffic, setup.architecture.context, served)
    )
    few = wanted.flags(replace(setup, max_model_len=wanted.length), FEW)
    length = wanted.cache(few).longest(wanted.length) or wanted.length
    fitted = replace(setup, max_model_len=length)
    place = bisect.bisect_left(SEQS, x=True, key=lambda seqs: not wanted.holds(fitted, seqs))
    fitted = wanted.flags(fitted, SEQS[max(place - 1, 0)])
    cache = wanted.cache(fitted)
    return Recommendation(
        setup=fitted,
        max_model_len=_why_length(wanted, fitted, served, cache),
        max_num_seqs=_why_seqs(wanted, fitted, cache),
        max_num_batched_tokens=_why_step(wanted, fitted, cache),
    )


def enough(traffic: Traffic, context: int, served: float = SERVED) -> int:
    """Return the quantiles of prompts and answers, added and rounded up; at most the context."""
    tokens = _quantile(traffic.prompts, served) + _quantile(traffic.outputs, served)
    return min(-(-tokens // LENGTHS) * LENGTHS, context)


def _step(setup: Setup, prompts: Counts, seqs: int, longest_step: float) -> int:
    """Return the fewest tokens that take most prompts at once beside a token for each request."""
    quick = [step for step in STEPS if _seconds(setup, step) <= longest_step] or [STEPS[0]]
    enough = max(USUAL_STEP, _quantile(prompts, PROMPTS) + seqs)
    return next((step for step in quick if step >= enough), quick[-1])


def _seconds(setup: Setup, tokens: int) -> float:
    """Return the least time of a step: two operations for each parameter and token."""
    rate = compute_rate(setup.accelerator, setup.weights.scheme) * setup.layout.tensor
    return 2 * setup.architecture.parameters.active * tokens / rate


def _why_length(wanted: _Wanted, setup: Setup, served: float, cache: KvCache) -> Choice:
    prompts, outputs = (
        _quantile(tokens, served) for tokens in (wanted.traffic.prompts, wanted.traffic.outputs)
    )
    length, context = setup.max_model_len, setup.architecture.context
    share = f"p{100 * served:g}"
    reason = (
        f"the {share} of prompts is {prompts:,} tokens and of answers {outputs:,}, together "
        f"{prompts + outputs:,}"
    )
    if length < wanted.length:
        reason += f", but one request of more than {length:,} does not fit in the cache"
    elif length == context:
        reason += f"; the model allows {context:,}"
    else:
        reason += f", rounded up to a multiple of {LENGTHS}"
    reason += (
        f". {_refused(wanted.traffic, length):.2%} of {wanted.traffic.count:,} requests are longer "
        f"and would be refused. {cache.concurrency(length):.1f} requests of this length fit at "
        f"once for certain, {cache.concurrency(context):.1f} of the model's {context:,}"
    )
    return Choice("max_model_len", length, reason)


def _why_seqs(wanted: _Wanted, setup: Setup, cache: KvCache) -> Choice:
    seqs, length = setup.max_num_seqs, setup.max_model_len
    blocks = resident_blocks(cache.layout, wanted.traffic, length)
    observed = observed_concurrency(cache, wanted.traffic, length)
    reason = (
        f"the cache has {cache.blocks:,} blocks of {cache.layout.block_bytes[0]:,} bytes, and a "
        f"running request needs {blocks:,.1f} at its full length: room for {observed:,.1f}"
    )
    if observed < 1 or not cache.fits():
        reason += ", not even one of the longest; more memory or smaller weights are needed"
    elif seqs == SEQS[-1]:
        reason += f"; {seqs:,} is the most that is recommended"
    else:
        reason += "; with more of them, requests would be preempted and computed again"
    return Choice("max_num_seqs", seqs, reason)


def _why_step(wanted: _Wanted, setup: Setup, cache: KvCache) -> Choice:
    step, prompt = setup.max_num_batched_tokens, _quantile(wanted.traffic.prompts, PROMPTS)
    chunks = -(-prompt // max(step - setup.max_num_seqs, 1))
    whose = "measured" if setup.accelerator.kind == "cpu" else "data sheet's"
    reason = (
        f"the p{100 * PROMPTS:g} of prompts, {prompt:,} tokens, is read in {chunks} "
        f"step{'s' if chunks > 1 else ''} beside the {setup.max_num_seqs} requests that memory "
        f"allows. A full step takes at least {1000 * _seconds(setup, step):.0f} ms at the {whose} "
        f"compute, and every stream waits for it: more tokens a step mean an earlier first token "
        f"and longer gaps between tokens"
    )
    if wanted.longest_step < math.inf:
        reason += f" (at most {1000 * wanted.longest_step:,.0f} ms were asked for)"
    return Choice("max_num_batched_tokens", step, reason + _cost_of_step(wanted, setup, cache))


def _cost_of_step(wanted: _Wanted, setup: Setup, cache: KvCache) -> str:
    """Say what the step costs in requests of full length, against vLLM's usual one."""
    usual = wanted.cache(replace(setup, max_num_batched_tokens=USUAL_STEP)).concurrency()
    lost = 1 - cache.concurrency() / usual if usual else 0.0
    if setup.max_num_batched_tokens <= USUAL_STEP or lost < WORTH_SAYING:
        return ""
    windows = any(one.window for one in setup.architecture.attention)
    return (
        f". Against {USUAL_STEP:,} it costs {lost:.1%} of the requests of full length: memory for "
        "activations" + (", and what layers with a window hold meanwhile" if windows else "")
    )


def _quantile(tokens: Counts, share: float) -> int:
    """Return the least value that `share` of `tokens` do not exceed."""
    return int(np.quantile(tokens, share, method="inverted_cdf"))


def _refused(traffic: Traffic, length: int) -> float:
    return float(np.mean(traffic.totals > length))
