"""What a replica does at a steady rate, in closed form: for searches over thousands of setups.

While n sequences decode, Little's law says that a = n / steps prompts are read in a mean step,
where `steps` are the tokens of an answer after the first. A step without prompts takes t(n); each
prompt adds D(n), what it adds if it shares a step with as many others as usual. So a mean step
takes T = t(n) + a * D(n), and n belongs to the rate a / T, which grows with n until memory,
`max_num_seqs` or `max_num_batched_tokens` end it. Arrivals are taken as Poisson, and the steps'
lengths then vary by V = a * D^2 * u / (1 - (D * rate)^2), u being the unevenness of prompts.

Means: TPOT is T. A request arrives in a step that is longer than the mean one, waits for its end
and is read in the next, together with what else came meanwhile: TTFT = b / 2 + t + D * (1 + rate *
b) with b = T + V / T. In a pipeline a prompt's way through all stages may be longer than a step,
and takes the place of t + D.

The 95th percentiles are estimates. TPOT varies with the number of sequences, taken as normal (1.645
deviations), and with the prompts that fall into a short answer; the distances of both to the mean
are added as squares. TTFT varies with the
wait before the prompt is read and with its own length; these are added, since long prompts make
each other wait. Waits and prompts have a longer tail and are taken as exponential (2 deviations).
Waiting for a slot or for KV blocks is not in them. So `max_rate` leaves room for 4 deviations more
sequences and memory than the mean; past that the closed form is too good, and `batching.py` tells.
Up to nine tenths of that rate tests hold the two together (TPOT within 10 %, its p95 within 20 %,
TTFT within 20 %, its p95 within 25 %); at its end TTFT's p95 may be half as long again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from headrace.capacity.efficiency import Efficiency
from headrace.capacity.kv_pool import Pool
from headrace.capacity.lengths import Lengths
from headrace.capacity.roofline import Batch, Roofline, chunk_pairs
from headrace.capacity.setup import Setup

NORMAL_95, EXPONENTIAL_95 = 1.645, 2.0
"""Standard deviations from the mean to the 95th percentile."""
HALVINGS = 12
"""Bisections over the concurrency: to a 4096th."""
LEAST_STEPS = 1e-3
"""Stands for the steps of answers of one token, which do not decode."""
ROOM = 4.0
"""Deviations from the mean number of sequences to what must have room: the tail is longer than a
normal distribution's, and of an exponential one this leaves 0.7 %."""
STIR = 0.02
"""Relative change of the concurrency over which a slope is taken."""


@dataclass(frozen=True)
class State:
    """One replica at `rate` requests a second; times in seconds.

    `concurrency` is the mean number of sequences that decode, `crowd` its 95th percentile.
    """

    rate: float
    concurrency: float
    crowd: float
    ttft: float
    ttft_p95: float
    tpot: float
    tpot_p95: float
    e2e: float
    tokens_per_second: float


@dataclass(frozen=True)
class _Step:
    """A step beside `concurrency` sequences: bare, what a prompt adds, how many prompts it has."""

    bare: float
    added: float
    prompts: float

    @property
    def mean(self) -> float:
        return self.bare + self.prompts * self.added

    @property
    def rate(self) -> float:
        return self.prompts / self.mean


class Steady:
    """The closed form for one setup, efficiency, cache and mix of lengths."""

    def __init__(self, setup: Setup, efficiency: Efficiency, pool: Pool, lengths: Lengths) -> None:
        self._roofline = Roofline(setup, efficiency)
        self._lengths = lengths
        self._steps = max(lengths.output - 1, LEAST_STEPS)
        self._budget = setup.max_num_batched_tokens * setup.layout.pipeline
        self._fits = pool.concurrency(lengths.context)
        self._slots = min(
            float(setup.max_num_seqs), self._budget / (lengths.prompt / self._steps + 1)
        )
        self.most = min(self._slots, self._fits) if self._fits >= 1 else 0.0
        """Sequences that can decode at once: by slots, KV blocks, and tokens of a step."""

    @property
    def highest_rate(self) -> float:
        """Requests a second that the replica serves if always some are waiting."""
        return self._step(self.most).rate

    def at(self, rate: float) -> State | None:
        """Return the state at `rate` requests a second; None where requests pile up."""
        if rate <= 0:
            raise ValueError(f"a rate of {rate} requests a second has no steady state; give more")
        if rate >= self.highest_rate:
            return None
        low, high = 0.0, self.most
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._step(middle).rate < rate else (low, middle)
        found = self._state((low + high) / 2)
        return replace(found, rate=rate, tokens_per_second=rate * self._lengths.output)

    def max_rate(self, ttft: float = math.inf, tpot: float = math.inf) -> float:
        """Return the highest rate that keeps both bounds at the 95th percentile, with room.

        0 where even a lone request does not keep them.
        """
        if not self.most:
            return 0.0
        low, high = 0.0, self.most
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._keeps(middle, ttft, tpot) else (low, middle)
        return self._step(low).rate if low else 0.0

    def _keeps(self, concurrency: float, ttft: float, tpot: float) -> bool:
        state = self._state(concurrency)
        return self._has_room(state) and state.ttft_p95 <= ttft and state.tpot_p95 <= tpot

    def _has_room(self, state: State) -> bool:
        """Say whether few enough wait for a slot, or for memory, of which each takes its part."""
        mean, number = state.concurrency, (state.crowd - state.concurrency) / NORMAL_95
        uneven = max(self._lengths.context_unevenness - 1, 0.0)
        memory = math.hypot(number, math.sqrt(mean * uneven))
        return mean + ROOM * number <= self._slots and mean + ROOM * memory <= self._fits

    def _state(self, concurrency: float) -> State:
        lengths, step = self._lengths, self._step(concurrency)
        rate, mean, added = step.rate, step.mean, step.added
        crowd = concurrency + NORMAL_95 * self._deviation(concurrency, step)
        square = added * added * lengths.unevenness
        variance = step.prompts * square / (1 - (added * rate) ** 2)
        seen = mean + variance / mean
        alone = self._alone(concurrency, lengths.prompt)
        own = step.bare + added
        if self._roofline.stages > 1:  # a round is shorter than the way of a prompt through stages
            own = max(own, alone)
        ttft = seen / 2 + own + added * rate * seen
        place = (mean * mean + 3 * variance) / 3 - seen * seen / 4
        wait = EXPONENTIAL_95 * math.sqrt(max(place, 0.0) + rate * seen * square)
        slower = self._bare(crowd) / (1 - rate * added) - mean
        short = step.prompts * square * lengths.inverse_steps
        return State(
            rate=rate,
            concurrency=concurrency,
            crowd=crowd,
            ttft=ttft,
            ttft_p95=ttft + wait + self._alone(concurrency, lengths.prompt_p95) - alone,
            tpot=mean,
            tpot_p95=mean + math.hypot(slower, EXPONENTIAL_95 * math.sqrt(short)),
            e2e=ttft + max(lengths.output - 1, 0.0) * mean,
            tokens_per_second=rate * lengths.output,
        )

    def _deviation(self, concurrency: float, step: _Step) -> float:
        """Return the standard deviation of the number of sequences.

        In time that prompts leave, n sequences end at n / (steps * t(n)) a second, and the slope
        of that undoes fluctuations. They come from ends, one at a time, and from arrivals: each is
        one more, and as many more as do not end while its prompt is read.
        """
        stirred = concurrency * (1 + STIR)
        ending = concurrency / step.bare
        slope = (stirred / self._bare(stirred) - ending) / (concurrency * STIR * self._steps)
        share = step.rate * step.added
        missed = share / (1 - share)
        stir = step.rate * (2 + 2 * missed + self._lengths.unevenness * missed * missed)
        return math.sqrt(stir / (2 * (1 - share) * max(slope, 1e-12)))

    def _bare(self, concurrency: float) -> float:
        """Return t(n)."""
        return self._roofline.step(Batch(concurrency, concurrency * self._lengths.context))

    def _alone(self, concurrency: float, prompt: float) -> float:
        """Return the seconds of the steps that read this one prompt."""
        context = concurrency * self._lengths.context
        return self._roofline.reading(Batch(concurrency, context, prompt, chunk_pairs(prompt)))

    def _step(self, concurrency: float) -> _Step:
        """Return the mean step; prompts come in whole chunks, those of a step at once."""
        prompt = self._lengths.prompt
        room = max(self._budget - concurrency, 1.0)
        chunks = max(1, math.ceil(prompt / room))
        prompts = concurrency / self._steps
        pieces = prompts * chunks
        # Of Poisson arrivals, so many come together in a step in which any come.
        together = min(pieces / -math.expm1(-pieces), room * chunks / prompt) if pieces else 1.0
        bare = self._bare(concurrency)
        batch = Batch(
            concurrency,
            concurrency * self._lengths.context,
            together * prompt / chunks,
            together * chunk_pairs(prompt) * self._lengths.unevenness / chunks,
        )
        added = (self._roofline.step(batch) - bare) * chunks / together
        return _Step(bare, added, prompts)
