"""Continuous batching as vLLM's V1 scheduler does it, in virtual time.

Each iteration first gives every decoding sequence its next token, then spends what is left of
`max_num_batched_tokens` on prompts in the order of arrival, in chunks. A prompt is admitted if a
slot of `max_num_seqs` is free and the KV cache has the blocks for all of it; sequences take further
blocks as they grow, and when there are none, the one that was admitted last loses its own and
starts over from the head of the queue. How long an iteration takes is `roofline.py`'s. Iterations
in which nothing happens but decoding are taken in one jump.

Not modelled: prefix caching, speculative decoding, and the one step by which asynchronous
scheduling is late to see that a request has ended.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from headrace.capacity.efficiency import Efficiency
from headrace.capacity.kv_pool import Pool
from headrace.capacity.roofline import Batch, Roofline, chunk_pairs
from headrace.capacity.sequences import Decoding, Sequence
from headrace.capacity.served import Served
from headrace.capacity.setup import Setup
from headrace.traffic.traffic import Traffic


class Times(NamedTuple):
    """By request, in seconds: filled in as the engine works. NaN: not yet, or refused."""

    started: list[float]
    first: list[float]
    last: list[float]


def serve(traffic: Traffic, setup: Setup, efficiency: Efficiency, pool: Pool) -> Served:
    """Return how one replica serves all of `traffic`."""
    times = Times(*([math.nan] * traffic.count for _ in Times._fields))
    engine = Engine(setup, Roofline(setup, efficiency), pool, times)
    prompts, outputs = traffic.prompts.tolist(), traffic.outputs.tolist()
    for index, arrival in enumerate(traffic.arrivals.tolist()):
        engine.run(arrival)
        engine.add(index, prompts[index], outputs[index])
    engine.run(math.inf)
    started, first, last = map(np.array, times)
    return Served(traffic, started, first, last, engine.preempted)


class Engine:
    """One replica in virtual time: `run` to an arrival, `add` it, `run` on.

    `times` is written to; requests are known by their index in it.
    """

    def __init__(self, setup: Setup, roofline: Roofline, pool: Pool, times: Times) -> None:
        longest = pool.needed(setup.max_model_len, setup.max_model_len)
        if longest > pool.usable:
            raise ValueError(
                f"the KV cache has {pool.usable} usable blocks, a request of max_model_len "
                f"{setup.max_model_len} needs {longest}; lower max_model_len or give the cache "
                "more memory"
            )
        self.now = 0.0
        self.preempted = 0
        self._max_len = setup.max_model_len
        self._max_seqs = setup.max_num_seqs
        self._budget = setup.max_num_batched_tokens * roofline.stages
        self._roofline = roofline
        self._pool = pool
        self._free = pool.usable
        self._times = times
        self._waiting: deque[Sequence] = deque()
        self._reading: list[Sequence] = []
        self._decoding = Decoding(pool)

    @property
    def running(self) -> int:
        """Requests that hold KV blocks."""
        return len(self._reading) + len(self._decoding)

    def add(self, index: int, prompt: int, output: int) -> None:
        """Queue a request; one that is longer than `max_model_len` is refused, as vLLM does."""
        if prompt + output <= self._max_len:
            self._waiting.append(Sequence(index, max(prompt, 1), max(output, 1)))

    def run(self, until: float) -> None:
        """Work until `until` or until nothing is left; an iteration that has begun is ended."""
        while self.now < until:
            if self._reading or self._admissible():
                self._mixed_step()
            elif self._decoding:
                self._jump(until - self.now)
            else:
                self.now = until if math.isfinite(until) else self.now
                return

    def _admissible(self) -> bool:
        if not self._waiting or self.running >= self._max_seqs:
            return False
        head = self._waiting[0]
        return self._pool.needed(head.target, head.final) <= self._free

    def _mixed_step(self) -> None:
        """Do one iteration that reads prompts too."""
        lost = self._make_room()
        decoding = self._decoding
        self._free -= decoding.blocks_for(1)
        sequences, context = len(decoding), decoding.context
        budget = self._budget - sequences
        chunks: list[tuple[Sequence, int]] = []
        tokens, pairs = 0, 0.0
        for sequence in self._to_read(admit=not lost):
            chunk = min(sequence.target - sequence.read, budget - tokens)
            if chunk <= 0:
                break
            chunks.append((sequence, chunk))
            tokens += chunk
            pairs += chunk_pairs(chunk, sequence.read)
            if tokens >= budget:
                break
        seconds = self._roofline.step(Batch(sequences, context, tokens, pairs))
        self.now += seconds
        self._advance(1)
        for sequence, chunk in chunks:
            before = sequence.read
            sequence.read += chunk
            if sequence.read < sequence.target:
                continue
            late = 0.0
            if self._roofline.stages > 1:  # a step is shorter than the way of a prompt through all
                own = Batch(sequences, context, chunk, chunk_pairs(chunk, before))
                late = max(0.0, self._roofline.reading(own) - seconds)
            self._speak(sequence, late)

    def _to_read(self, *, admit: bool) -> Iterator[Sequence]:
        """Yield admitted prompts, then those that can be admitted, while somebody asks."""
        yield from tuple(self._reading)
        while admit and self._admissible():
            sequence = self._waiting.popleft()
            self._free -= self._pool.needed(sequence.target, sequence.final)
            self._reading.append(sequence)
            if math.isnan(self._times.started[sequence.index]):
                self._times.started[sequence.index] = self.now
            yield sequence

    def _speak(self, sequence: Sequence, late: float) -> None:
        """End the reading of a prompt, with which its next token is there, or `late` seconds on."""
        self._reading.remove(sequence)
        if not sequence.produced:
            self._times.first[sequence.index] = self.now + late
        sequence.produced += 1
        if sequence.produced == sequence.output:
            self._end(sequence)
        else:
            self._decoding.join(sequence)

    def _jump(self, seconds: float) -> None:
        """Decode until somebody ends, blocks run out or `seconds` are over: at least one step."""
        self._make_room()
        steps = self._steps_with_room(self._decoding.until_end())
        sequences, context = len(self._decoding), self._decoding.context
        first = self._roofline.step(Batch(sequences, context))
        last = self._roofline.step(Batch(sequences, context + (steps - 1) * sequences))
        growth = (last - first) / (steps - 1) if steps > 1 else 0.0
        steps = min(steps, _steps_in(seconds, first, growth))
        self.now += steps * first + growth * steps * (steps - 1) / 2
        self._free -= self._decoding.blocks_for(steps)
        self._advance(steps)

    def _steps_with_room(self, most: int) -> int:
        """Return for how many steps there are blocks, at least one and at most `most`."""
        if self._decoding.blocks_for(most) <= self._free:
            return most
        low, high = 1, most
        while high - low > 1:
            middle = (low + high) // 2
            if self._decoding.blocks_for(middle) <= self._free:
                low = middle
            else:
                high = middle
        return low

    def _advance(self, steps: int) -> None:
        for sequence in self._decoding.advance(steps):
            self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        self._times.last[sequence.index] = max(self.now, self._times.first[sequence.index])
        self._free += self._pool.needed(sequence.read, sequence.final)

    def _make_room(self) -> bool:
        """Preempt until the next step has its blocks; say whether that was necessary."""
        lost = False
        while self._decoding.blocks_for(1) > self._free:
            if self._reading:
                sequence = self._reading.pop()
                self._free += self._pool.needed(sequence.target, sequence.final)
            else:
                sequence = self._decoding.drop_last()
                self._free += self._pool.needed(sequence.read, sequence.final)
            sequence.read = 0
            self._waiting.appendleft(sequence)
            self.preempted += 1
            lost = True
        return lost


def _steps_in(seconds: float, first: float, growth: float) -> int:
    """Return the steps that begin within `seconds`, if each is `growth` longer than the last."""
    if math.isinf(seconds):
        return 2**62
    if growth <= 0:
        return max(1, math.ceil(seconds / first))
    half = first - growth / 2
    return max(1, math.ceil((math.sqrt(half * half + 2 * growth * seconds) - half) / growth))
