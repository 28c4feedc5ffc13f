"""KV arithmetic against what vLLM 0.32.0 logged and computed itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.capacity.kv import CPU_BLOCK, GPU_BLOCK, Attention, kv_cache

SMOLLM2 = Attention(layers=30, kv_heads=3, head_size=64)
LLAMA_8B = Attention(layers=32, kv_heads=8, head_size=128)
GIB = 2**30


def test_smollm2_on_a_cpu_with_2_gib() -> None:
    """The log: "93,184 tokens, Maximum concurrency for 2,048 tokens per request: 45.50x"."""
    cache = kv_cache(SMOLLM2, 2 * GIB, CPU_BLOCK)
    assert SMOLLM2.token_bytes() == 2 * 30 * 3 * 64 * 2
    assert cache.blocks == 728
    assert cache.tokens == 93_184
    assert cache.concurrency(2048) == 45.5


@pytest.mark.parametrize(
    ("mib", "tokens", "times"), [(1024, 46_592, "22.75"), (768, 34_944, "17.06")]
)
def test_smollm2_as_logged(mib: int, tokens: int, times: str) -> None:
    cache = kv_cache(SMOLLM2, mib * 2**20, CPU_BLOCK)
    assert cache.tokens == tokens
    assert f"{cache.concurrency(2048):.2f}" == times


@pytest.mark.parametrize(("longest", "concurrency"), [(131_072, 2.5), (8192, 40.0)])
def test_llama_8b_on_40_gib(longest: int, concurrency: float) -> None:
    """Computed with vLLM's own functions: 131,072 bytes a token, 20,480 blocks."""
    cache = kv_cache(LLAMA_8B, 40 * GIB, GPU_BLOCK)
    assert LLAMA_8B.token_bytes() == 131_072
    assert cache.blocks == 20_480
    assert cache.concurrency(longest) == concurrency


def test_too_small_a_cache_is_known_before_the_start() -> None:
    """vLLM refused 32 MiB for 2,048 tokens; one block of 128 stays empty, so 16 blocks are too few."""
    assert not kv_cache(SMOLLM2, 32 * 2**20, CPU_BLOCK).fits(2048)
    block = SMOLLM2.token_bytes() * CPU_BLOCK
    assert not kv_cache(SMOLLM2, 16 * block, CPU_BLOCK).fits(2048)
    assert kv_cache(SMOLLM2, 17 * block, CPU_BLOCK).fits(2048)


def test_heads_are_split_then_replicated() -> None:
    assert LLAMA_8B.token_bytes(ranks=8) * 8 == LLAMA_8B.token_bytes()
    assert LLAMA_8B.token_bytes(ranks=16) == LLAMA_8B.token_bytes(ranks=8)


@given(st.integers(1, 128), st.integers(1, 128), st.integers(1, 512), st.integers(0, 2**40))
def test_blocks_fit_in_the_bytes_and_one_more_does_not(
    layers: int, heads: int, size: int, given_bytes: int
) -> None:
    attention = Attention(layers, heads, size)
    cache = kv_cache(attention, given_bytes, GPU_BLOCK)
    block = attention.token_bytes() * GPU_BLOCK
    assert cache.blocks * block <= given_bytes < (cache.blocks + 1) * block
