"""KV arithmetic against what vLLM 0.32.0 logged and computed itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sizing_kit import (
    DEEPSEEK_V3,
    GEMMA_27B,
    GIB,
    GPT_OSS_20B,
    LLAMA_8B,
    MIB,
    SMOLLM2,
    architecture,
    full,
    mla,
    setup,
    sliding,
    state,
)

from headrace.capacity.kv import CPU_BLOCK, KvCache, kv_cache, kv_layout
from headrace.capacity.setup import Setup
from headrace.models.architecture import Architecture, Attention

POOL = 40 * GIB


def on_cpu(max_model_len: int = 2048, tensor: int = 1) -> Setup:
    return setup(SMOLLM2, tensor=tensor, max_model_len=max_model_len, block=CPU_BLOCK)


def on_gpu(model: Architecture, max_model_len: int, *, tensor: int = 1, pipeline: int = 1) -> Setup:
    """4,096 batched tokens twice in flight, as the golden vectors have it."""
    return setup(
        model,
        tensor=tensor,
        pipeline=pipeline,
        max_model_len=max_model_len,
        max_num_batched_tokens=4096,
    )


GOLDEN = [
    # model, max_model_len, groups, padding, blocks a request, bytes a block, blocks, concurrency, bytes a token
    (LLAMA_8B, 131_072, 1, 0, 8192, 2_097_152, 20_480, "2.50", 131_072),
    (LLAMA_8B, 8192, 1, 0, 512, 2_097_152, 20_480, "40.00", 131_072),
    (GPT_OSS_20B, 8192, 2, 0, 1025, 393_216, 109_226, "106.56", 49_200),
    (GPT_OSS_20B, 131_072, 2, 0, 8713, 393_216, 109_226, "12.54", 26_139),
    (GEMMA_27B, 131_072, 7, 8, 11_654, 1_310_720, 32_768, "2.81", 116_540),
    (DEEPSEEK_V3, 163_840, 1, 0, 10_240, 1_124_352, 38_199, "3.73", 70_272),
]


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: str(row[1]))
def test_golden_vectors_to_the_block(
    row: tuple[Architecture, int, int, int, int, int, int, str, int],
) -> None:
    """Computed with vLLM's own functions: 40 GiB, blocks of 16, bf16, 8,192 tokens in flight."""
    model, length, groups, padding, request, block, blocks, concurrency, token = row
    cache = kv_cache(on_gpu(model, length), POOL)
    assert len(cache.layout.groups) == groups
    assert cache.layout.padding == padding
    assert cache.layout.blocks_for(length) == request
    assert cache.layout.block_bytes == (block,)
    assert cache.blocks == blocks
    assert f"{cache.concurrency():.2f}" == concurrency
    assert request * block // length == token


@pytest.mark.parametrize(
    ("mib", "blocks", "tokens", "times"),
    [
        (2048, 728, 93_184, "45.50"),
        (1024, 364, 46_592, "22.75"),
        (768, 273, 34_944, "17.06"),
    ],
)
def test_smollm2_on_a_cpu_as_logged(mib: int, blocks: int, tokens: int, times: str) -> None:
    """The log: "93,184 tokens, Maximum concurrency for 2,048 tokens per request: 45.50x"."""
    cache = kv_cache(on_cpu(), mib * MIB)
    assert cache.layout.block_bytes == (2 * 30 * 3 * 64 * 2 * 128,)
    assert (cache.blocks, cache.tokens) == (blocks, tokens)
    assert f"{cache.concurrency():.2f}" == times


def test_logged_tokens_of_a_hybrid_are_concurrency_times_length() -> None:
    """109,226 blocks / 8,713 * 131,072 = 1,643,116.07: not blocks * 16."""
    assert kv_cache(on_gpu(GPT_OSS_20B, 131_072), POOL).tokens == 1_643_116


def test_published_h100_and_a100_logs() -> None:
    """vLLM 0.19: 58.11 GiB are 476,016 tokens of Llama-3.1-8B (rounded GiB: within one in 5,811)."""
    cache = kv_cache(on_gpu(LLAMA_8B, 16_384), int(58.11 * GIB))
    assert cache.tokens == pytest.approx(476_016, rel=1e-4)
    qwen = architecture(full(36, 8, 128))
    assert kv_cache(on_gpu(qwen, 40_960), int(19.36 * GIB)).tokens == pytest.approx(
        140_960, rel=3e-4
    )


def test_too_small_a_cache_is_known_before_the_start() -> None:
    """vLLM refused 32 MiB for 2,048 tokens; one block of 128 stays empty, so 16 are too few."""
    assert not kv_cache(on_cpu(), 32 * MIB).fits()
    block = 23_040 * CPU_BLOCK
    assert not kv_cache(on_cpu(), 17 * block - 1).fits()
    assert kv_cache(on_cpu(), 17 * block).fits()
    empty = kv_cache(on_cpu(), -5)
    assert (empty.blocks, empty.tokens, empty.longest(8192)) == (0, 0, 0)


def test_the_longest_max_model_len_that_fits() -> None:
    """17 blocks: one stays empty, 16 * 128 = 2,048 tokens."""
    cache = kv_cache(on_cpu(), 17 * 23_040 * CPU_BLOCK)
    assert cache.longest(8192) == 2048
    assert cache.longest(1000) == 1000
    hybrid = kv_cache(on_gpu(GEMMA_27B, 131_072), 11_655 * 1_310_720)
    assert hybrid.longest(1_000_000) == 131_072
    assert hybrid.fits(131_072)
    assert not hybrid.fits(131_073)


def test_heads_are_split_then_copied() -> None:
    """Llama-3.1-8B has 8 KV heads; TP 16 keeps each of them twice."""
    layouts = {ranks: kv_layout(on_gpu(LLAMA_8B, 8192, tensor=ranks)) for ranks in (1, 8, 16)}
    assert layouts[8].block_bytes[0] * 8 == layouts[1].block_bytes[0]
    assert layouts[16].block_bytes == layouts[8].block_bytes


def test_mla_is_not_divided() -> None:
    layout = kv_layout(on_gpu(DEEPSEEK_V3, 8192, tensor=8))
    assert layout.block_bytes == (61 * 16 * 576 * 2,)


def test_fp8_doubles_the_blocks() -> None:
    """vLLM 0.19, Qwen2.5-7B: 1,096,000 tokens in bf16, 2,192,000 in fp8."""
    qwen = architecture(full(28, 4, 128))
    pool = 19_136 * 1024 * 3275  # 1,096,000 tokens of 57,344 bytes, rounded down to a block
    bf16 = kv_cache(setup(qwen, max_model_len=8192), pool)
    fp8 = kv_cache(setup(qwen, max_model_len=8192, kv_dtype_bytes=1), pool)
    assert fp8.blocks in {2 * bf16.blocks, 2 * bf16.blocks + 1}


def test_more_batched_tokens_cost_concurrency_only_with_windows() -> None:
    def concurrency(model: Architecture, batched: int) -> float:
        flags = setup(model, max_model_len=131_072, max_num_batched_tokens=batched)
        return kv_cache(flags, POOL).concurrency()

    assert concurrency(LLAMA_8B, 16_384) == concurrency(LLAMA_8B, 2048)
    # 8,192 + 6 * (ceil((1,023 + 32,768) / 16) + 1) = 20,870 blocks; with 4,096, 10,118.
    assert concurrency(GEMMA_27B, 16_384) == 32_768 / 20_870
    assert concurrency(GEMMA_27B, 2048) == 32_768 / 10_118


def test_a_chunk_needs_no_extra_block() -> None:
    """Llama 4: 36 of 48 layers in chunks of 8,192: ceil((8,192 + 8,192) / 16) = 1,024 blocks each."""
    llama4 = architecture(full(12, 8, 128), Attention("chunked", 36, 8, 128, 128, 8192))
    layout = kv_layout(on_gpu(llama4, 131_072))
    assert len(layout.groups) == 4
    assert layout.blocks_for(131_072) == 8192 + 3 * 1024


def test_close_layer_counts_are_padded_instead_of_split() -> None:
    """13 full and 12 sliding layers: groups of 13, one of them with a place for nothing."""
    model = architecture(full(13, 8, 64), sliding(12, 8, 64, 128))
    layout = kv_layout(on_gpu(model, 8192))
    assert [(len(group.layers), group.padding) for group in layout.groups] == [(13, 0), (12, 1)]
    assert layout.block_bytes == (13 * 2 * 8 * 64 * 2 * 16,)


def test_a_smaller_page_gets_a_longer_block() -> None:
    """Window layers with a quarter of the bytes hold 64 tokens where the others hold 16."""
    model = architecture(full(10, 4, 256), sliding(10, 2, 128, 1024))
    layout = kv_layout(on_gpu(model, 131_072))
    assert {spec.page for group in layout.groups for spec in group.specs} == {16 * 4 * 512 * 2}
    # 8,192 blocks of 16, and ceil((1,023 + 8,192) / 64) + 1 = 145 blocks of 64.
    assert layout.blocks_for(131_072) == 8192 + 145


def test_full_layers_of_several_sizes_share_one_table() -> None:
    model = architecture(full(10, 8, 128), full(2, 8, 64))
    layout = kv_layout(on_gpu(model, 8192))
    assert len(layout.groups) == 1
    assert layout.block_bytes == (10 * 65_536 + 2 * 32_768,)
    assert layout.blocks_for(8192) == 512


def test_windows_with_heads_of_other_sizes_do_not_share_a_group() -> None:
    """Found by comparing with vLLM's own functions: 8 groups of 8, 725,740 blocks in this pool."""
    model = architecture(sliding(32, 4, 64, 1024), mla(23, 576), sliding(8, 1, 256, 1024))
    flags = setup(model, tensor=4, max_model_len=131_072, max_num_batched_tokens=8192)
    layout = kv_layout(flags)
    assert sorted(len(group.layers) for group in layout.groups) == [7, 8, 8, 8, 8, 8, 8, 8]
    assert layout.block_bytes == (8 * 576 * 2 * 16,)


def test_states_take_two_blocks_and_lengthen_the_others() -> None:
    """12 full layers, 36 of linear attention with 2 MiB each.

    A token takes 2 * 2 * 256 * 2 = 2,048 bytes, so 1,024 tokens make a page of 2 MiB; 2 MiB and
    a byte need 1,040. Then 4 groups of 12; 8,192 tokens take 8 blocks and 3 * 2 for states.
    """
    model = architecture(full(12, 2, 256), state(36, 2 * MIB))
    layout = kv_layout(on_gpu(model, 8192))
    assert [len(group.layers) for group in layout.groups] == [12] * 4
    assert layout.blocks_for(8192) == 8 + 3 * 2
    assert layout.block_bytes == (12 * 2 * MIB,)
    more = kv_layout(on_gpu(architecture(full(12, 2, 256), state(36, 2 * MIB + 1)), 8192))
    assert more.groups[0].specs[0].block == 1040
    half = kv_layout(on_gpu(model, 8192, tensor=2))
    assert half.groups[0].specs[0].block == 1024
    assert half.block_bytes == (12 * MIB,)


def test_states_beside_mla_keep_blocks_of_128() -> None:
    model = architecture(mla(7, 576), state(20, MIB))
    # 1,152 bytes a token: 1 MiB needs 911, so 8 * 128.
    assert kv_layout(on_gpu(model, 8192)).groups[0].specs[0].block == 1024


def test_a_model_of_states_only() -> None:
    cache = kv_cache(on_gpu(architecture(state(64, MIB)), 8192), 640 * MIB)
    assert (cache.blocks, cache.layout.blocks_for(10**6), cache.concurrency()) == (10, 1, 10.0)


def test_windows_beside_mla_are_kept_in_full_where_pages_do_not_divide() -> None:
    layout = kv_layout(on_gpu(architecture(mla(10, 576), sliding(2, 8, 128, 1024)), 8192))
    assert len(layout.groups) == 1
    assert layout.blocks_for(8192) == 512
    assert layout.block_bytes == (10 * 16 * 576 * 2 + 2 * 16 * 8 * 256 * 2,)
    chunks = architecture(mla(10, 576), Attention("chunked", 2, 8, 128, 128, 1024))
    with pytest.raises(ValueError, match="no common page size"):
        kv_layout(on_gpu(chunks, 8192))


def test_a_pipeline_splits_layers_and_the_smallest_stage_decides() -> None:
    """32 layers over 3 stages: vLLM takes 11, 11 and 10: the last stage has the output head as well."""
    layout = kv_layout(on_gpu(LLAMA_8B, 8192, pipeline=3))
    layer = 16 * 8 * 256 * 2
    assert layout.block_bytes == (11 * layer, 11 * layer, 10 * layer)
    assert layout.in_flight == 4096 * 4
    cache = kv_cache(on_gpu(LLAMA_8B, 8192, pipeline=3), [110 * layer, 220 * layer, 200 * layer])
    assert cache.blocks == 10


def test_each_stage_has_layers_of_each_group() -> None:
    """24 alternating layers over two stages: 6 and 6 of each kind on either."""
    layout = kv_layout(on_gpu(GPT_OSS_20B, 8192, pipeline=2))
    assert layout.block_bytes == (6 * 32_768, 6 * 32_768)


def test_groups_are_spread_over_stages_too() -> None:
    """10 full and 20 sliding layers are 3 groups of 10, each with 5 layers on either stage."""
    model = architecture(full(10, 8, 64), sliding(20, 8, 64, 128))
    assert kv_layout(on_gpu(model, 8192, pipeline=2)).block_bytes == (5 * 32_768, 5 * 32_768)


def test_61_layers_over_4_stages() -> None:
    """15, 15, 16, 15: what is left over goes to the last stage but one first."""
    layout = kv_layout(on_gpu(DEEPSEEK_V3, 8192, pipeline=4))
    assert [size // (16 * 576 * 2) for size in layout.block_bytes] == [15, 15, 16, 15]


def test_more_stages_than_layers() -> None:
    with pytest.raises(ValueError, match="33 pipeline stages are more than the 32 layers"):
        kv_layout(on_gpu(LLAMA_8B, 8192, pipeline=33))


def test_without_async_scheduling_one_batch_less_is_in_flight() -> None:
    assert kv_layout(setup(LLAMA_8B, async_scheduling=False)).in_flight == 8192
    assert kv_layout(setup(LLAMA_8B, async_scheduling=False, pipeline=4)).in_flight == 4 * 8192


def attention() -> st.SearchStrategy[Attention]:
    heads, size, layers = (
        st.sampled_from([1, 2, 4, 8]),
        st.sampled_from([64, 128]),
        st.integers(1, 40),
    )
    return st.one_of(
        st.builds(full, layers, heads, size),
        st.builds(sliding, layers, heads, size, st.sampled_from([128, 1024, 4096])),
        st.builds(mla, layers, st.just(512)),
        st.builds(state, layers, st.integers(1, 4 * MIB)),
    )


MODELS = st.lists(attention(), min_size=1, max_size=3).map(lambda made: architecture(*made))


def sized(model: Architecture, pool: int, **flags: int) -> KvCache:
    return kv_cache(setup(model, **flags), pool)


@given(MODELS, st.integers(0, 2**38), st.integers(0, 2**34))
def test_more_memory_never_holds_less(model: Architecture, pool: int, more: int) -> None:
    assert sized(model, pool).blocks <= sized(model, pool + more).blocks


@given(MODELS, st.integers(0, 2**38))
def test_blocks_fit_in_the_bytes_and_one_more_does_not(model: Architecture, pool: int) -> None:
    cache = sized(model, pool)
    (each,) = cache.layout.block_bytes
    assert cache.blocks * each <= pool < (cache.blocks + 1) * each


@given(MODELS)
def test_every_layer_is_in_one_group(model: Architecture) -> None:
    layers = sorted(layer for group in kv_layout(setup(model)).groups for layer, _ in group.layers)
    assert layers == list(range(model.layers))


@given(MODELS, st.integers(1, 200_000), st.integers(0, 200_000))
def test_longer_requests_never_need_fewer_blocks(
    model: Architecture, tokens: int, more: int
) -> None:
    layout = kv_layout(setup(model))
    assert layout.blocks_for(tokens) <= layout.blocks_for(tokens + more)


@given(MODELS, st.integers(0, 2**34))
def test_the_longest_that_fits_is_the_longest(model: Architecture, pool: int) -> None:
    cache = sized(model, pool)
    longest = cache.longest(100_000)
    assert longest == 0 or cache.fits(longest)
    assert longest == 100_000 or not cache.fits(longest + 1)


@given(attention())
def test_a_rank_of_two_holds_half_or_a_copy(one: Attention) -> None:
    """Of one kind of layers; a mixture may fall into other groups."""
    (alone,), (half,) = (
        kv_layout(setup(architecture(one), tensor=ranks)).block_bytes for ranks in (1, 2)
    )
    assert alone / 2 <= half <= alone


@given(MODELS, st.integers(0, 2**38), st.integers(1, 5))
def test_stages_hold_all_layers_between_them(model: Architecture, pool: int, stages: int) -> None:
    if stages > model.layers:
        return
    whole = kv_layout(setup(model)).block_bytes[0]
    assert sum(kv_layout(setup(model, pipeline=stages)).block_bytes) >= whole
    assert sized(model, pool, pipeline=stages).blocks >= sized(model, pool).blocks
