from dataclasses import replace

import pytest
from planned import LLAMA_8B, LLAMA_WEIGHTS, MIXTRAL, NETWORK, PERFECT, RTX_4090, setup

from headrace.capacity.communication import Communication
from headrace.capacity.layer_costs import AttentionCost, MatrixCost, compute_rate
from headrace.capacity.roofline import Batch, Roofline, chunk_pairs
from headrace.capacity.setup import Layout
from headrace.models.architecture import Attention
from headrace.models.weight_bytes import Weights

# Llama-3.1-8B: 8,030,261,248 parameters, of which the embedding and the head are 525,336,576 each.
READ = 16_060_522_496 - 2 * 525_336_576
KV = 2 * 32 * 8 * 128 * 2


def test_llama_is_what_its_files_weigh() -> None:
    assert LLAMA_8B.parameters.total * 2 == 16_060_522_496


def test_a_lone_sequence_reads_all_matrices_but_the_embedding() -> None:
    reading = READ / 1008e9
    computing = 2 * (8_030_261_248 - 525_336_576) / 165.2e12
    expected = (reading**2 + computing**2) ** 0.5
    assert Roofline(setup(), PERFECT).step(Batch(1, 0)) == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(14.89e-3, rel=1e-3)


def test_each_token_of_a_context_is_read() -> None:
    engine = Roofline(setup(), PERFECT)
    more = engine.step(Batch(8, 8000)) - engine.step(Batch(8, 0))
    assert KV == 131_072
    assert more == pytest.approx(8000 * KV / 1008e9, rel=1e-9)


def test_a_long_chunk_is_computed() -> None:
    # 2048 tokens: two operations a parameter and token (the head for one token only), and for each
    # of 2048 * 2049 / 2 pairs two products of 32 heads of 128 in 32 layers.
    matrices = 2 * 6_979_588_096 * 2048 + 2 * 525_336_576
    attention = 2 * 2 * 32 * 128 * 32 * (2048 * 2049 / 2)
    seconds = Roofline(setup(), PERFECT).step(Batch(prompt=2048, pairs=chunk_pairs(2048)))
    reading = READ / 1008e9
    expected = ((matrices / 165.2e12) ** 2 + reading**2) ** 0.5 + attention / 165.2e12
    assert seconds == pytest.approx(expected, rel=1e-9)


def test_pairs_of_chunks_add_up_to_those_of_the_prompt() -> None:
    assert chunk_pairs(300) + chunk_pairs(200, 300) == chunk_pairs(500)


def test_efficiency_and_overheads() -> None:
    slow = replace(PERFECT, bandwidth=0.5, compute=0.5, overhead=0.003, per_sequence=1e-4)
    batch = Batch(10, 5000, 100, chunk_pairs(100))
    expected = 2 * Roofline(setup(), PERFECT).step(batch) + 0.003 + 10 * 1e-4
    assert Roofline(setup(), slow).step(batch) == pytest.approx(expected, rel=1e-12)


def test_grouped_queries_take_longer_beside_prompts() -> None:
    cost = AttentionCost.of(setup())
    assert cost.read(8, 8000, mixed=True) == pytest.approx(1.7 * cost.read(8, 8000))
    ungrouped = replace(LLAMA_8B, attention=(Attention("full", 32, 32, 128, 128),))
    cost = AttentionCost.of(setup(ungrouped))
    assert cost.read(8, 8000, mixed=True) == cost.read(8, 8000)


def test_a_window_is_read_and_no_more() -> None:
    half = (Attention("full", 16, 8, 128, 128), Attention("sliding", 16, 8, 128, 128, window=1024))
    cost = AttentionCost.of(setup(replace(LLAMA_8B, attention=half)))
    assert cost.read(4, 4 * 1000) == 4000 * KV
    assert cost.read(4, 4 * 5000) == (20_000 + 4 * 1024) * KV / 2


def test_mla_reads_one_vector_for_all_heads_on_every_rank() -> None:
    mla = (Attention("mla", 61, 1, 576, 0),)
    model = replace(LLAMA_8B, attention=mla, heads=128, hidden=7168)
    assert AttentionCost.of(setup(model)).read(1, 1) == 70_272  # DeepSeek-V3, bytes a token
    eight = AttentionCost.of(setup(model, layout=Layout(tensor=8)))
    assert eight.read(1, 1) == 70_272
    assert eight.operations(1, 1) == 61 * 16 * 2 * (576 + 512)


def test_a_state_is_read_and_written_whatever_the_context() -> None:
    state = (Attention("state", 10, 0, 0, 0, state_bytes=1000),)
    cost = AttentionCost.of(setup(replace(LLAMA_8B, attention=state)))
    assert cost.read(3, 10) == cost.read(3, 10_000) == 3 * 2 * 10 * 1000


def test_kv_heads_are_copied_when_there_are_fewer_than_ranks() -> None:
    reads = {n: AttentionCost.of(setup(layout=Layout(n))).read(1, 1) for n in (1, 2, 8, 16)}
    assert reads == {1: KV, 2: KV / 2, 8: KV / 8, 16: KV / 8}


def test_a_batch_touches_more_experts_than_a_token() -> None:
    expert = 2 * 32 * 3 * 4096 * 14_336
    total = 93_405_585_408  # Mixtral-8x7B-v0.1 in bf16
    weights = Weights(total, total - 6 * expert - 2 * 32_000 * 4096, "bf16", True, "files")
    cost = MatrixCost.of(setup(MIXTRAL, weights))
    outside = total - 8 * expert - 2 * 32_000 * 4096
    assert cost.read(1) == outside + 2 * expert
    assert cost.read(3) == pytest.approx(outside + 8 * (1 - 0.75**3) * expert)  # 4.6 of 8
    assert cost.read(4096) == pytest.approx(outside + 8 * expert)
    assert cost.operations(1, 1) == pytest.approx(2 * 12.75e9, rel=0.01)  # 12.9 B active


def test_quantized_weights_are_computed_by_what_the_hardware_has() -> None:
    assert compute_rate(RTX_4090, "fp8") == 330.3e12
    assert compute_rate(RTX_4090, "awq") == 165.2e12
    assert compute_rate(RTX_4090, "int8") == 165.2e12
    assert compute_rate(replace(RTX_4090, compute={"fp32": 1e12}), "bf16") == 1e12
    with pytest.raises(ValueError, match="RTX 4090 names no compute"):
        compute_rate(replace(RTX_4090, compute={"int8": 1e12}), "bf16")


def test_half_the_bytes_are_read_in_half_the_time() -> None:
    half = replace(LLAMA_WEIGHTS, total=LLAMA_WEIGHTS.total // 2, active=READ // 2, scheme="fp8")
    whole, quick = (Roofline(setup(weights=one), PERFECT) for one in (LLAMA_WEIGHTS, half))
    assert quick.step(Batch(1, 0)) == pytest.approx(whole.step(Batch(1, 0)) / 2, rel=1e-3)


def test_tensor_parallelism_sums_twice_a_layer() -> None:
    two = Communication.of(setup(layout=Layout(tensor=2)), 1.0)
    assert two.per_token == pytest.approx(2 * 32 * 4096 * 2 / 32e9)
    assert two.per_step == pytest.approx(2 * 32 * 2 * 1e-5)
    four = Communication.of(setup(layout=Layout(tensor=4)), 0.5)
    assert four.per_token == pytest.approx(2 * two.per_token * 1.5)
    eight = Communication.of(setup(layout=Layout(tensor=8)), 1.0)  # four in a node: the network
    assert eight.per_token == pytest.approx(2 * 32 * 4096 * 2 * 1.75 / NETWORK.bandwidth)


def test_stages_hand_on_activations() -> None:
    inside = Communication.of(setup(layout=Layout(pipeline=4)), 1.0)
    assert inside.per_token == pytest.approx(3 * 4096 * 2 / 32e9)
    across = Communication.of(setup(layout=Layout(tensor=4, pipeline=2)), 1.0)
    alone = Communication.of(setup(layout=Layout(tensor=4)), 1.0)
    assert across.per_token - alone.per_token == pytest.approx(4096 * 2 / 4 / 12.5e9)
    assert across.per_step - alone.per_step == pytest.approx(2e-5)


def test_a_pipeline_helps_throughput_and_not_latency() -> None:
    one, two = (Roofline(setup(layout=Layout(pipeline=n)), PERFECT) for n in (1, 2))
    hop = 1e-5
    assert two.step(Batch(1, 1000)) == pytest.approx(one.step(Batch(1, 1000)) + hop, rel=1e-4)
    # Two halves follow each other: a round takes as long as one half alone.
    halves = one.step(Batch(32, 32_000)) + hop + 32 * 8192 / 32e9
    assert two.step(Batch(64, 64_000)) == pytest.approx(halves, rel=1e-9)


def test_a_prompt_is_read_no_sooner_for_stages() -> None:
    one, two = (Roofline(setup(layout=Layout(pipeline=n)), PERFECT) for n in (1, 2))
    hop = 1e-5 + 600 * 8192 / 32e9
    prompt = Batch(0, 0, 600, chunk_pairs(600))
    assert one.reading(prompt) == one.step(prompt)
    assert two.reading(prompt) == pytest.approx(one.step(prompt) + hop, rel=1e-9)
    # Two chunks of 1,500: the second is half a chunk's time behind the first.
    long = Batch(0, 0, 3000, chunk_pairs(3000))
    chunk = two.reading(Batch(0, 0, 1500, chunk_pairs(3000) / 2))
    assert two.reading(long) == pytest.approx(1.5 * chunk)
    assert one.reading(long) == pytest.approx(
        2 * one.step(Batch(0, 0, 1500, chunk_pairs(3000) / 2))
    )
