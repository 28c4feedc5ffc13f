"""Recommended flags: against quantiles counted in plain Python, and against what the cache holds."""

import re
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sizing_kit import GIB, LLAMA_8B, cpu, dense, full, gpu, setup, sliding

from headrace.capacity.kv import KvCache, kv_cache
from headrace.capacity.memory import budgets
from headrace.capacity.recommend import SEQS, Choice, recommend
from headrace.capacity.setup import Setup
from headrace.capacity.waste import observed_concurrency
from headrace.traffic.traffic import Traffic

WINDOWED = replace(LLAMA_8B, attention=(full(8, 8, 128), sliding(24, 8, 128, 1024)))


def traffic(prompts: list[int], outputs: list[int]) -> Traffic:
    arrivals = np.arange(len(prompts), dtype=np.float64)
    return Traffic(arrivals, np.array(prompts), np.array(outputs), "test")


def cache_of(flags: Setup) -> KvCache:
    return kv_cache(flags, [budget.kv for budget in budgets(flags)])


STEADY = traffic([1000] * 99 + [3000], [200] * 99 + [500])
"""p99 is 1,000 and 200 tokens, p99.9 the one longer request."""


def test_long_prompts_and_long_answers_are_others() -> None:
    """As Azure's conversations: p99 4,142 and 601, so 4,743, of which 19 * 256 = 4,864."""
    prompts = [1020] * 979 + [4142] * 11 + [9000] * 10
    outputs = [900] * 10 + [601] * 11 + [129] * 979
    made = recommend(setup(LLAMA_8B), traffic(prompts, outputs), served=0.99)
    assert made.max_model_len.value == made.setup.max_model_len == 4864
    assert "4,142" in made.max_model_len.reason
    # the ten prompts of 9,000 tokens
    assert "1.00% of 1,000 requests" in made.max_model_len.reason


def test_the_quantile_decides_who_is_refused() -> None:
    most = recommend(setup(LLAMA_8B), STEADY, served=0.99).max_model_len
    everyone = recommend(setup(LLAMA_8B), STEADY).max_model_len
    assert (most.value, everyone.value) == (1280, 3584)
    assert "1.00% of 100 requests are longer" in most.reason
    assert "0.00% of 100 requests are longer" in everyone.reason


def test_never_more_than_the_model_allows() -> None:
    made = recommend(setup(LLAMA_8B), traffic([200_000, 10], [5, 5]))
    assert made.max_model_len.value == 131_072
    assert "50.00% of 2 requests are longer" in made.max_model_len.reason
    assert "the model allows 131,072" in made.max_model_len.reason


def test_max_num_seqs_is_what_the_cache_holds_at_the_lengths() -> None:
    """On 24 GiB: as many as fit at 1,280 tokens, and not 8 more."""
    flags = setup(LLAMA_8B, accelerator=gpu(24 * GIB))
    made = recommend(flags, STEADY, served=0.99)
    seqs = made.max_num_seqs.value
    assert made.setup.max_num_seqs == seqs
    assert observed_concurrency(cache_of(made.setup), STEADY, 1280) >= seqs
    more = replace(made.setup, max_num_seqs=seqs + 8)
    assert observed_concurrency(cache_of(more), STEADY, 1280) < seqs + 8
    # 25.77 GB * 0.92 - 16.06 - 1.9: some 5.7 GB, 2,700 blocks, of which a request takes 75.
    assert 24 <= seqs <= 40
    assert "needs 75.0" in made.max_num_seqs.reason


def test_a_large_card_stops_at_1024() -> None:
    made = recommend(setup(LLAMA_8B, accelerator=gpu(700 * GIB)), STEADY)
    assert made.max_num_seqs.value == 1024
    assert "the most that is recommended" in made.max_num_seqs.reason


def test_a_context_that_does_not_fit_is_cut() -> None:
    """15 GiB of weights in 17.5: the cache holds less than the 131,072 tokens that are asked for."""
    flags = setup(LLAMA_8B, accelerator=gpu(19 * GIB))
    asked = traffic([100_000] * 10, [1000] * 10)
    made = recommend(flags, asked)
    assert 0 < made.max_model_len.value < 100_000
    assert "100.00% of 10 requests are longer" in made.max_model_len.reason
    assert cache_of(made.setup).fits()
    assert "does not fit in the cache" in made.max_model_len.reason


def test_many_short_requests_leave_room_for_one_of_full_length() -> None:
    """Each request in a step takes memory from the cache, so a cut length limits their number."""
    asked = traffic([100_000] + [50] * 999, [20] * 1000)
    made = recommend(setup(LLAMA_8B, accelerator=gpu(19 * GIB)), asked, served=1)
    assert 8 <= made.max_num_seqs.value < 64
    assert 1000 < made.max_model_len.value < 100_000
    assert cache_of(made.setup).fits()
    assert not cache_of(replace(made.setup, max_num_seqs=made.max_num_seqs.value + 8)).fits()


def test_weights_that_do_not_fit_get_an_answer_too() -> None:
    made = recommend(setup(LLAMA_8B, accelerator=gpu(12 * GIB)), STEADY)
    assert made.max_num_seqs.value == 1
    assert "not even one" in made.max_num_seqs.reason


def test_a_step_takes_most_prompts_at_once() -> None:
    assert recommend(setup(LLAMA_8B), STEADY).max_num_batched_tokens.value == 2048
    long = traffic([5000] * 10, [50] * 10)
    made = recommend(setup(LLAMA_8B), long)
    assert made.max_num_batched_tokens.value == 8192
    crowd = f"the {made.setup.max_num_seqs} requests that memory allows"  # a file may run fewer
    assert f"read in 1 step beside {crowd}" in made.max_num_batched_tokens.reason


def test_whose_compute_a_step_takes_is_said() -> None:
    sheet, measured = (
        recommend(setup(LLAMA_8B, accelerator=one), STEADY) for one in (gpu(), cpu())
    )
    assert "ms at the data sheet's compute" in sheet.max_num_batched_tokens.reason
    assert "ms at the measured compute" in measured.max_num_batched_tokens.reason


def test_a_longest_step_makes_it_smaller() -> None:
    """2 * 7.5e9 parameters at 989 Tops: 2,048 tokens take 31 ms, so 20 ms leave 1,024."""
    made = recommend(setup(LLAMA_8B), STEADY, longest_step=0.02)
    assert made.max_num_batched_tokens.value == 1024
    assert "at most 20 ms" in made.max_num_batched_tokens.reason
    assert recommend(setup(LLAMA_8B), STEADY, longest_step=1e-9).setup.max_num_batched_tokens == 512
    two = recommend(setup(LLAMA_8B, tensor=2), STEADY, longest_step=0.02)
    assert two.max_num_batched_tokens.value == 2048


def test_the_cost_of_a_step_is_told_where_windows_pay_it() -> None:
    long = traffic([5000] * 10, [50] * 10)

    def cost(choice: Choice) -> float:
        found = re.search(r"costs ([\d.]+)% of the requests", choice.reason)
        return float(found[1]) if found else 0.0

    plain = recommend(setup(LLAMA_8B), long).max_num_batched_tokens
    windowed = recommend(setup(WINDOWED), long).max_num_batched_tokens
    # 5,120 tokens: 320 blocks, and 3 times min(1,023 + 4,096, 5,120) or all: 321 either way.
    assert cost(plain) < 5
    assert "window" not in plain.reason
    far = traffic([5000] * 9 + [60_000], [50] * 10)
    wide = recommend(setup(WINDOWED), far).max_num_batched_tokens
    # 3,760 + 3 * (1,089 or 321) blocks: 7,027 against 4,723, so a third.
    assert 30 < cost(wide) < 36
    assert "window" in wide.reason
    assert windowed.value == wide.value == 8192


def test_cpu_with_a_fixed_cache() -> None:
    small = dense(30, 576, 1536, heads=(9, 3), vocab=49_152, head_size=64, tied=True)
    flags = setup(small, accelerator=cpu(), kv_bytes=2 * GIB, block=128)
    made = recommend(flags, STEADY, served=0.99)
    # 728 blocks, one of which stays empty; 1,200 tokens take 10: 72.7 at once.
    assert made.max_num_seqs.value == 72


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 20_000), st.integers(1, 2000)), min_size=1, max_size=30),
    st.integers(17, 200),
)
def test_what_is_recommended_starts(lengths: list[tuple[int, int]], gib: int) -> None:
    """Or says that nothing does; and one step more of requests would not fit."""
    prompts, outputs = (list(column) for column in zip(*lengths, strict=True))
    asked = traffic(prompts, outputs)
    made = recommend(setup(LLAMA_8B, accelerator=gpu(gib * GIB)), asked)
    cache, length = cache_of(made.setup), made.setup.max_model_len
    longer = float(np.mean(np.array(prompts) + np.array(outputs) > length))
    if cache.fits() and longer < 1:
        observed = observed_concurrency(cache, asked, length)
        assert observed >= made.max_num_seqs.value or made.max_num_seqs.value == SEQS[0]
    assert f"{longer:.2%} of {len(prompts):,} requests are longer" in made.max_model_len.reason
