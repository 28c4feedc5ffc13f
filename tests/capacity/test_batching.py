import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import PERFECT, setup

from headrace.capacity.batching import Engine, Times, serve
from headrace.capacity.kv_pool import Pool
from headrace.capacity.roofline import Batch, Roofline
from headrace.capacity.served import Served
from headrace.capacity.setup import Layout
from headrace.traffic.traffic import Traffic

Request = tuple[float, int, int]


class Steps(Roofline):
    """A step takes a second and a little for all that is in it; nothing is from the roofline."""

    def __init__(self, per_context: float = 0.0, per_prompt: float = 0.0) -> None:
        super().__init__(setup(), PERFECT)
        self.per_context, self.per_prompt = per_context, per_prompt

    def step(self, batch: Batch) -> float:
        return 1.0 + self.per_context * batch.context + self.per_prompt * batch.prompt


def run(
    requests: list[Request], pool: Pool, steps: Steps, seqs: int = 8, budget: int = 10
) -> tuple[Times, int]:
    flags = replace(
        setup(max_num_seqs=seqs, max_num_batched_tokens=budget),
        max_model_len=pool.usable * pool.block,
    )
    times = Times(*([math.nan] * len(requests) for _ in range(3)))
    engine = Engine(flags, steps, pool, times)
    for index, (arrival, prompt, output) in enumerate(requests):
        engine.run(arrival)
        engine.add(index, prompt, output)
    engine.run(math.inf)
    assert not engine.running
    return times, engine.preempted


def test_a_lone_request_reads_in_chunks_and_then_decodes() -> None:
    times, _ = run([(5.0, 25, 4)], Pool(100), Steps())
    assert times == ([5.0], [8.0], [11.0])  # chunks of 10, 10, 5; then a second a token


def test_an_answer_of_one_token_ends_with_its_prompt() -> None:
    times, _ = run([(0.0, 25, 1)], Pool(100), Steps())
    assert times.first == times.last == [3.0]


def test_decoding_comes_first_and_prompts_get_the_rest() -> None:
    # The first speaks at 1; from then on it takes one of ten tokens, so the second needs 9 + 9 + 2.
    times, _ = run([(0.0, 10, 20), (0.5, 20, 1)], Pool(100), Steps())
    assert times.first == [1.0, 4.0]
    assert times.last == [20.0, 4.0]


def test_prompts_share_a_step_in_the_order_of_arrival() -> None:
    times, _ = run([(0.0, 6, 1), (0.0, 6, 1), (0.0, 6, 1)], Pool(100), Steps())
    assert times.started == [0.0, 0.0, 1.0]
    assert times.first == [1.0, 2.0, 2.0]


def test_one_waits_for_a_slot() -> None:
    times, _ = run([(0.0, 2, 5), (0.0, 2, 9), (0.0, 2, 1)], Pool(100), Steps(), seqs=2)
    assert times.last == [5.0, 9.0, 6.0]
    assert times.started[2] == 5.0


def test_one_waits_for_the_blocks_of_its_whole_prompt() -> None:
    # 4 usable blocks of 4 tokens: the first holds 2 (5 tokens, 3 more to come), the second needs 3.
    times, lost = run([(0.0, 5, 4), (0.0, 9, 1)], Pool(5, block=4), Steps())
    assert times.started[1] == times.last[0] == 4.0
    assert lost == 0


def test_the_last_admitted_loses_its_blocks_and_reads_its_answer_again() -> None:
    # 4 usable blocks of 4 tokens, two prompts of 7: two blocks each. At 1 both have spoken; the
    # step to 2 fills position 8; the next needs a block for each, so the second is thrown out with
    # 2 tokens told. The first goes on to 5 (11 tokens), and the second reads 7 + 2 tokens until 6,
    # which gives it the third, and the fourth and fifth at 7 and 8.
    times, lost = run([(0.0, 7, 5), (0.0, 7, 5)], Pool(5, block=4), Steps(), budget=20)
    assert lost == 1
    assert times.first == [1.0, 1.0]
    assert times.last == [5.0, 8.0]


def test_what_is_longer_than_the_context_is_refused() -> None:
    traffic = Traffic(np.zeros(2), np.array([40_000, 100]), np.array([10, 10]), "declared")
    served = serve(traffic, setup(), PERFECT, Pool(3000))
    assert served.answered.tolist() == [False, True]
    assert len(served.ttft) == 1


def test_a_cache_too_small_for_max_model_len_is_refused_as_vllm_does() -> None:
    traffic = Traffic(np.zeros(1), np.array([100]), np.array([10]), "declared")
    with pytest.raises(ValueError, match=r"2047 usable blocks.*32768 needs 2048; lower"):
        serve(traffic, setup(), PERFECT, Pool(2048))


@dataclass
class One:
    index: int
    prompt: int
    output: int
    told: int = 0
    read: int = 0
    decodes: bool = False

    def held(self, ahead: int = 0) -> int:
        """Tokens it has blocks for: a prompt for all of it, a decoding one for what is there."""
        return self.read + ahead if self.decodes else self.prompt + self.told


class Naive:
    """The same rules step by step and token by token, with every block counted anew."""

    def __init__(self, pool: Pool, steps: Steps, seqs: int, budget: int, count: int) -> None:
        self.pool, self.steps, self.seqs, self.budget = pool, steps, seqs, budget
        self.times = Times(*([math.nan] * count for _ in range(3)))
        self.waiting: list[One] = []
        self.running: list[One] = []
        self.now = 0.0

    def blocks(self, ahead: int = 0) -> int:
        return sum(-(-one.held(ahead) // self.pool.block) for one in self.running)

    def preempt(self) -> bool:
        lost = False
        while self.blocks(ahead=1) > self.pool.usable:
            gone = self.running.pop()
            gone.read, gone.decodes = 0, False
            self.waiting.insert(0, gone)
            lost = True
        return lost

    def admit(self) -> bool:
        if not self.waiting or len(self.running) >= self.seqs:
            return False
        blocks = -(-self.waiting[0].held() // self.pool.block)
        if self.blocks(ahead=1) + blocks > self.pool.usable:
            return False
        one = self.waiting.pop(0)
        self.running.append(one)
        if math.isnan(self.times.started[one.index]):
            self.times.started[one.index] = self.now
        return True

    def step(self) -> None:
        lost = self.preempt()
        decoding = [one for one in self.running if one.decodes]
        context = sum(one.read for one in decoding)
        left = self.budget - len(decoding)
        chunks: list[tuple[One, int]] = []
        reading = [one for one in self.running if not one.decodes]
        while left > 0 and (reading or (not lost and self.admit())):
            one = reading.pop(0) if reading else self.running[-1]
            chunks.append((one, min(left, one.held() - one.read)))
            left -= chunks[-1][1]
        self.now += self.steps.step(Batch(len(decoding), context, sum(n for _, n in chunks)))
        for one in decoding:
            one.read += 1
            one.told += 1
        for one, chunk in chunks:
            one.read += chunk
            if one.read == one.held():
                one.decodes = True
                one.told += 1
                if one.told == 1:
                    self.times.first[one.index] = self.now
        for one in [one for one in self.running if one.told == one.output]:
            self.times.last[one.index] = self.now
            self.running.remove(one)

    def run(self, requests: list[Request]) -> Times:
        coming = [(at, One(n, prompt, output)) for n, (at, prompt, output) in enumerate(requests)]
        while coming or self.waiting or self.running:
            if not self.waiting and not self.running:
                self.now = max(self.now, coming[0][0])
            while coming and coming[0][0] <= self.now:
                self.waiting.append(coming.pop(0)[1])
            self.step()
        return self.times


REQUESTS = st.lists(
    st.tuples(st.floats(0, 30), st.integers(1, 30), st.integers(1, 25)), min_size=1, max_size=12
).map(sorted)


@settings(max_examples=150, deadline=None)
@given(REQUESTS, st.integers(15, 40), st.integers(1, 8), st.integers(8, 40))
def test_jumps_change_nothing(requests: list[Request], blocks: int, seqs: int, budget: int) -> None:
    pool, steps = Pool(blocks, block=4), Steps(per_context=0.01, per_prompt=0.02)
    got, _ = run(requests, pool, steps, seqs, budget)
    want = Naive(pool, steps, seqs, budget, len(requests)).run(requests)
    for mine, theirs in zip(got, want, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)


def test_a_pipeline_takes_more_in_a_round() -> None:
    # Twice the tokens in a step, one half after the other: a prompt of two chunks is one round, and
    # its second half is in the second stage when that is over.
    traffic = Traffic(np.zeros(1), np.array([4096]), np.array([1]), "declared")
    flags = setup(layout=Layout(pipeline=2))
    served = serve(traffic, flags, PERFECT, Pool(3000))
    half = Roofline(flags, PERFECT).step(Batch(0, 0, 4096, 4096 * 4097 / 2))
    assert served.first[0] == served.last[0] == pytest.approx(1.5 * half)


def test_figures_are_vllm_bench_s() -> None:
    traffic = Traffic(
        np.array([0.0, 1.0, 2.0]), np.array([5, 5, 5]), np.array([5, 1, 3]), "declared"
    )
    first = np.array([1.0, 3.0, 3.0])
    served = Served(traffic, np.zeros(3), first, np.array([9.0, 3.0, 7.0]))
    assert served.ttft.tolist() == [1.0, 2.0, 1.0]
    assert served.tpot.tolist() == [2.0, 2.0]  # none for an answer of one token
    assert served.e2e.tolist() == [9.0, 2.0, 5.0]
    assert served.throughput == 1.0
    assert served.figures()[[0, 1, 4, 8]].tolist() == pytest.approx([4 / 3, 1.0, 2.0, 16 / 3])
