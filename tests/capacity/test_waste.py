"""Slots used and wasted, against sums written out and slots counted one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sizing_kit import GEMMA_27B, GIB, LLAMA_8B, setup

from headrace.capacity.kv import KvCache, kv_cache
from headrace.capacity.waste import contexts, observed_concurrency, resident_blocks, waste
from headrace.models.architecture import Architecture
from headrace.traffic.traffic import Traffic


def traffic(*lengths: tuple[int, int]) -> Traffic:
    prompts, outputs = np.array(lengths, dtype=np.int64).T
    return Traffic(np.arange(len(lengths), dtype=np.float64), prompts, outputs, "test")


BRIEF = traffic((300, 100), (700, 100), (100, 100))
"""400, 800 and 200 slots of 4,096, as in the well-known picture."""


def pool(model: Architecture = LLAMA_8B) -> KvCache:
    return kv_cache(setup(model, max_num_batched_tokens=4096), 40 * GIB)


def test_three_requests_that_reserve_4096_slots_waste_88_6_percent() -> None:
    static = waste(BRIEF, 4096, 16).static
    assert (static.used, static.reserved) == (1400, 3 * 4096)
    assert static.wasted == 1 - 1400 / 12_288
    assert f"{static.wasted:.1%}" == "88.6%"


def test_in_blocks_they_waste_the_end_of_one_block() -> None:
    """25, 50 and 12.5 blocks of 16: 8 slots of 1,408; with vLLM's 128 on a CPU 264 of 1,664."""
    small, large = waste(BRIEF, 4096, 16).paged, waste(BRIEF, 4096, 128).paged
    assert (small.used, small.reserved) == (1400, 1408)
    assert f"{small.wasted:.1%}" == "0.6%"
    assert (large.used, large.reserved) == (1400, 512 + 896 + 256)


def test_over_time_as_counted_step_by_step() -> None:
    counted = waste(BRIEF, 4096, 16)
    lives = [start + step for start in (300, 700, 100) for step in range(1, 101)]
    assert counted.static_over_time.used == counted.paged_over_time.used == sum(lives)
    assert counted.static_over_time.reserved == 300 * 4096
    assert counted.paged_over_time.reserved == sum(-(-life // 16) * 16 for life in lives)


def test_what_is_longer_than_the_limit_is_refused_and_not_counted() -> None:
    counted = waste(traffic((300, 100), (4000, 97)), 4096, 16)
    assert counted.refused == 0.5
    assert counted.static.reserved == 4096
    nothing = waste(BRIEF, 100, 16)
    assert (nothing.refused, nothing.static.wasted, nothing.paged.wasted) == (1.0, 0.0, 0.0)


def test_lowering_max_model_len_buys_certainty_not_room() -> None:
    """Llama-3.1-8B, 20,480 blocks: 2.5 requests of 131,072; of these three, 20,479 / 29.33."""
    rows = {row.max_model_len: row for row in contexts(pool(), BRIEF, 131_072)}
    assert list(rows) == [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072]
    assert rows[131_072].full == 2.5
    assert rows[8192].full == 40
    assert rows[131_072].observed == rows[1024].observed == 20_479 / ((25 + 50 + 13) / 3)
    (short,) = contexts(pool(), BRIEF, 131_072, [500])
    assert short.refused == pytest.approx(1 / 3)
    assert short.observed == 20_479 / 19


def test_long_answers_stay_longer() -> None:
    """A request of 10 blocks that lives 90 steps beside one of 1 block that lives 10: 9.1."""
    mixed = traffic((70, 90), (6, 10))
    assert resident_blocks(pool().layout, mixed, 4096) == pytest.approx((10 * 90 + 1 * 10) / 100)


def test_nothing_fits_and_nothing_comes() -> None:
    empty = kv_cache(setup(LLAMA_8B), 0)
    assert observed_concurrency(empty, BRIEF, 4096) == 0
    assert observed_concurrency(pool(), BRIEF, 10) == 0


REQUESTS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 60)), min_size=1, max_size=8)


@given(REQUESTS, st.integers(1, 400), st.sampled_from([1, 16, 128]))
def test_every_slot_counted_one_by_one(
    requests: list[tuple[int, int]], limit: int, block: int
) -> None:
    counted = waste(traffic(*requests), limit, block)
    served = [(prompt, output) for prompt, output in requests if prompt + output <= limit]
    lives = [p + step for p, output in served for step in range(1, output + 1)]
    assert counted.static.used == sum(map(sum, served))
    assert counted.paged.reserved == sum(-(-sum(one) // block) * block for one in served)
    assert counted.paged_over_time.reserved == sum(-(-life // block) * block for life in lives)
    assert counted.static_over_time.used == sum(lives)
    assert 0 <= counted.paged.wasted <= counted.static.wasted + block / limit


@given(REQUESTS)
def test_the_curve_falls_with_the_length(requests: list[tuple[int, int]]) -> None:
    for model in (LLAMA_8B, GEMMA_27B):
        rows = contexts(pool(model), traffic(*requests), 131_072)
        assert [row.full for row in rows] == sorted((row.full for row in rows), reverse=True)
        assert [row.refused for row in rows] == sorted((row.refused for row in rows), reverse=True)
