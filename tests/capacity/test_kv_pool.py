from dataclasses import replace

import pytest
from planned import LLAMA_8B, setup

from headrace.capacity.kv import kv_cache
from headrace.capacity.kv_pool import Pool
from headrace.models.architecture import Attention


def test_a_plain_cache() -> None:
    # The pool of an RTX 4090 as vLLM logged it: 2,588 blocks of 16 tokens, 2 MiB each.
    pool = Pool.of(kv_cache(setup(), 2588 * 2**21))
    assert pool == Pool(2588, block=16, groups=1)
    assert pool.usable == 2587
    assert [pool.needed(tokens, 100) for tokens in (1, 16, 17, 32)] == [1, 1, 2, 2]
    assert pool.concurrency(1592.0) == 2587 / 100


def test_windows_stop_growing() -> None:
    # gpt-oss-20b: 12 layers of all tokens, 12 of 128; a window takes 127 / 16 blocks and one more.
    kinds = (Attention("full", 12, 8, 64, 64), Attention("sliding", 12, 8, 64, 64, window=128))
    pool = Pool.of(kv_cache(setup(replace(LLAMA_8B, attention=kinds)), 2**30))
    assert (pool.groups, pool.caps) == (1, (9,))
    assert pool.needed(1600, 3200) == 100 + 9
    assert pool.needed(16, 48) == 1 + 3


def test_of_gemma_s_seven_groups_six_stop() -> None:
    kinds = (
        Attention("full", 10, 16, 128, 128),
        Attention("sliding", 52, 16, 128, 128, window=1024),
    )
    pool = Pool.of(kv_cache(setup(replace(LLAMA_8B, attention=kinds)), 40 * 2**30))
    assert (pool.groups, pool.caps) == (1, (65,) * 6)
    assert pool.concurrency(500) == pytest.approx(pool.usable / (7 * 31.75))
    assert pool.concurrency(8000) == pytest.approx(pool.usable / (500.5 + 6 * 65))
