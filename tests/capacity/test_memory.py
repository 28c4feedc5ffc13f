"""Memory of a rank and a replica against what real ones took: logs, a trace, a measurement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sizing_kit import (
    DEEPSEEK_V3,
    GIB,
    LLAMA_8B,
    SMOLLM2,
    architecture,
    cpu,
    dense,
    full,
    gpu,
    setup,
    sparse,
    state,
)

from headrace.capacity.activation import expert_workspace, layer_peak, sampling_peak
from headrace.capacity.kv import kv_cache
from headrace.capacity.memory import Budget, budgets, replica_memory
from headrace.capacity.weights_split import rank_weights
from headrace.models.architecture import Architecture, Experts, Parameters
from headrace.models.weight_bytes import Weights

QWEN3_8B = dense(36, 4096, 12_288, heads=(32, 8), vocab=151_936, context=40_960)
MIXTRAL = sparse(32, 4096, 14_336, Experts(8, 2), 32_000)


def part(budget: Budget, name: str) -> int:
    return next(part.bytes for part in budget.parts if part.name == name)


def test_rtx_4090_within_3_percent_of_its_blocks() -> None:
    """Not told: 2,588 blocks. All else is as LLMServingSim's run on such a card had it."""
    model = setup(
        LLAMA_8B,
        accelerator=gpu(25_250_627_584),
        gpu_memory_utilization=0.9,
        max_num_seqs=256,
        max_num_batched_tokens=2048,
        max_model_len=32_768,
    )
    (budget,) = budgets(model, "0.19.0")
    blocks = 2588
    assert kv_cache(model, budget.kv).blocks == pytest.approx(blocks, rel=0.03)
    assert kv_cache(model, budget.kv_low).blocks <= blocks <= kv_cache(model, budget.kv_high).blocks


@pytest.mark.parametrize(
    ("model", "total", "share", "batch", "available"),
    [
        # llm-d-planner's log of an H100, and one of an A100-40 whose total is known to 0.06 GiB.
        (LLAMA_8B, 79.19, 0.95, (1024, 8192), 58.11),
        (QWEN3_8B, 39.43, 0.9, (256, 2048), 19.36),
    ],
)
def test_published_logs_of_0_19(
    model: Architecture, total: float, share: float, batch: tuple[int, int], available: float
) -> None:
    flags = setup(
        model,
        accelerator=gpu(int(total * GIB)),
        gpu_memory_utilization=share,
        max_num_seqs=batch[0],
        max_num_batched_tokens=batch[1],
    )
    (budget,) = budgets(flags, "0.19.1")
    assert budget.kv == pytest.approx(available * GIB, rel=0.015)
    assert budget.kv_low <= available * GIB <= budget.kv_high


@pytest.mark.parametrize(
    ("model", "tensor", "peak"),
    [
        (LLAMA_8B, 1, 1.89),
        (LLAMA_8B, 4, 1.89),
        (dense(28, 3584, 18_944, heads=(28, 4), vocab=152_064), 1, 2.21),
        (QWEN3_8B, 1, 2.21),
        (dense(32, 4096, 11_008, heads=(32, 32), vocab=32_016), 1, 0.77),
        (dense(40, 2048, 8192, heads=(32, 8), vocab=49_155, head_size=64), 1, 0.75),
        (dense(40, 4096, 12_800, heads=(32, 8), vocab=49_155), 1, 0.85),
        (dense(40, 5120, 17_920, heads=(40, 10), vocab=100_352), 1, 1.52),
        (sparse(48, 2048, 768, Experts(128, 8), 151_936), 1, 2.68),
        (MIXTRAL, 2, 1.21),
        (sparse(27, 2048, 1408, Experts(64, 6, 2), 102_400), 1, 1.93),
        (sparse(24, 2048, 1408, Experts(60, 4, 1), 151_936), 1, 2.47),
    ],
)
def test_activation_peaks_of_0_19_on_an_h100(model: Architecture, tensor: int, peak: float) -> None:
    """GiB in llm-d-planner's logs: 8,192 batched tokens, 1,024 requests."""
    flags = setup(model, tensor=tensor, max_num_seqs=1024, max_num_batched_tokens=8192)
    (budget,) = budgets(flags, "0.19.0")
    assert part(budget, "activation peak") == pytest.approx(peak * GIB, rel=0.025)


def test_activation_peaks_before_0_17() -> None:
    """Sorting took 5.64 GiB for Qwen3-14B with 1,024 requests, 1.40 for a Qwen3 with 256."""
    qwen = dense(40, 5120, 17_408, heads=(40, 8), vocab=151_936)
    big = setup(qwen, max_num_seqs=1024, max_num_batched_tokens=8192)
    assert part(budgets(big, "0.16.0")[0], "activation peak") == pytest.approx(
        5.64 * GIB, rel=0.025
    )
    small = setup(QWEN3_8B, max_num_seqs=256, max_num_batched_tokens=2048)
    assert part(budgets(small, "0.14.1")[0], "activation peak") == pytest.approx(
        1.40 * GIB, rel=0.025
    )


def test_only_the_last_stage_samples() -> None:
    """Published for the first of two and of four stages: 1.10 and 1.05 GiB."""
    flags = setup(LLAMA_8B, pipeline=2, max_num_seqs=1024, max_num_batched_tokens=8192)
    first, last = budgets(flags, "0.19.0")
    assert part(first, "activation peak") == pytest.approx(1.075 * GIB, rel=0.03)
    assert part(last, "activation peak") > 1.8 * GIB


@pytest.mark.parametrize(
    ("model", "tensor", "pipeline", "gib"),
    [
        (LLAMA_8B, 1, 1, 14.99),
        (LLAMA_8B, 2, 1, 7.51),
        (LLAMA_8B, 4, 1, 3.77),
        (LLAMA_8B, 1, 2, 7.51),
        (LLAMA_8B, 1, 4, 4.26),
        (QWEN3_8B, 1, 1, 15.27),
        (QWEN3_8B, 1, 3, 5.48),
    ],
)
def test_weights_as_logged_for_the_first_rank(
    model: Architecture, tensor: int, pipeline: int, gib: float
) -> None:
    """vLLM 0.19: "Model loading took 14.99 GiB memory", rotary table and copies included."""
    budget = budgets(setup(model, tensor=tensor, pipeline=pipeline), "0.19.0")[0]
    named = {"weights", "copied weights", "rotary table"}
    loaded = sum(part.bytes for part in budget.parts if part.name in named)
    assert round(loaded / GIB, 2) == gib


def test_stages_hold_all_weights_and_a_tied_embedding_twice() -> None:
    stages = rank_weights(setup(LLAMA_8B, pipeline=4))
    assert sum(map(sum, stages)) == pytest.approx(2 * LLAMA_8B.parameters.total)
    assert stages[0] == stages[3]
    tied = rank_weights(setup(SMOLLM2, pipeline=2))
    assert sum(map(sum, tied)) == pytest.approx(
        2 * (SMOLLM2.parameters.total + SMOLLM2.parameters.embedding)
    )


def test_kv_heads_are_copied_where_ranks_are_more() -> None:
    """TP 16 of 8 KV heads: each rank has one head's projections, twice a sixteenth."""
    (eight,), (sixteen,) = (rank_weights(setup(LLAMA_8B, tensor=ranks)) for ranks in (8, 16))
    projections = 32 * 4096 * 8 * 256 * 2
    norms = 65 * 4096 * 2
    assert eight.copied == pytest.approx(norms)
    assert sixteen.copied == pytest.approx(norms + projections / 8)
    whole = 2 * LLAMA_8B.parameters.total
    assert sixteen.split == pytest.approx((whole - norms - projections) / 16)


def test_mla_projections_are_copied_whole() -> None:
    (rank,) = rank_weights(setup(mla_with_weights(), tensor=8))
    assert rank.copied == pytest.approx(61 * 4096 * 576 * 2)


def mla_with_weights() -> Architecture:
    parameters = Parameters(0, 10**9, 10**10, 0, 0, 0, 0)
    return architecture(*DEEPSEEK_V3.attention, parameters=parameters)


def test_four_bits_stay_with_the_matrices() -> None:
    """An AWQ Llama-3.1-8B is 5.7 GB, of which 2.1 are embedding and head in 16 bits."""
    awq = Weights(5_730_000_000, 5_730_000_000, "awq", exact=False, basis="by formula")
    first, last = rank_weights(setup(LLAMA_8B, pipeline=2, weights=awq))
    embedding = 2 * 128_256 * 4096
    assert sum(first) == pytest.approx(5_730_000_000 / 2)
    assert sum(first) - embedding == pytest.approx((5_730_000_000 - 2 * embedding) / 2)
    assert sum(last) == sum(first)
    gguf = Weights(4_600_000_000, 4_600_000_000, "gguf", exact=True, basis="files")
    assert sum(map(sum, rank_weights(setup(LLAMA_8B, weights=gguf)))) == pytest.approx(
        4_600_000_000
    )


def test_formulas_are_ranges_and_files_are_exact() -> None:
    exact = budgets(setup(LLAMA_8B))[0].parts[0]
    assert exact.exact
    formula = Weights(16 * 10**9, 16 * 10**9, "awq", exact=False, basis="by formula")
    guessed = budgets(setup(LLAMA_8B, weights=formula))[0].parts[0]
    assert (guessed.low, guessed.bytes, guessed.high) == (
        15_680_000_000,
        16_000_000_000,
        16_320_000_000,
    )


def test_graphs_count_since_0_21_and_follow_max_num_seqs() -> None:
    """256 requests: batches of 1, 2, 4, 8 to 256 by 8, 272 to 512 by 16, that is 51 graphs."""
    few, many = setup(LLAMA_8B, max_num_seqs=4), setup(LLAMA_8B, max_num_seqs=256)
    assert "CUDA graphs" not in {part.name for part in budgets(many, "0.20.2")[0].parts}
    assert part(budgets(many)[0], "CUDA graphs") == round(1.04 * GIB)
    assert part(budgets(few)[0], "CUDA graphs") == round(1.04 * GIB * 4 / 51)


def test_requested_is_rounded_up_and_a_fixed_cache_is_left_alone() -> None:
    model = setup(LLAMA_8B, accelerator=gpu(25_250_627_584), gpu_memory_utilization=0.9)
    (budget,) = budgets(model)
    assert budget.requested == 22_725_564_826
    assert budget.kv == budget.requested - budget.used
    fixed = budgets(setup(LLAMA_8B, accelerator=gpu(20 * GIB), kv_bytes=6 * GIB))[0]
    assert fixed.kv == fixed.kv_low == fixed.kv_high == 6 * GIB
    assert fixed.spare < 0


def test_a_model_that_is_too_large_leaves_nothing() -> None:
    (budget,) = budgets(setup(LLAMA_8B, accelerator=gpu(12 * GIB)))
    assert (budget.kv, budget.kv_high) == (0, 0)


def test_images_add_an_assumption() -> None:
    names = {part.name for part in budgets(setup(LLAMA_8B))[0].parts}
    model = Architecture(**{**vars(LLAMA_8B), "multimodal": True})
    assert {part.name for part in budgets(setup(model))[0].parts} - names == {"image encoder"}


def test_a_cpu_has_processes_instead() -> None:
    """SmolLM2 with 1 GiB of cache took 3,116,422 kB (PSS of all its processes)."""
    (budget,) = budgets(setup(SMOLLM2, accelerator=cpu(), kv_bytes=GIB, block=128))
    assert [part.name for part in budget.parts] == ["weights", "processes"]
    assert sum(part.low for part in budget.parts) + GIB < 3_116_422 * 1024
    assert budget.used + budget.kv == replica_memory(2 * SMOLLM2.parameters.total, GIB)


def test_no_experts_need_no_work_area() -> None:
    assert expert_workspace(setup(LLAMA_8B)) == 0
    assert expert_workspace(setup(MIXTRAL)) > 0


def test_states_only() -> None:
    assert budgets(setup(architecture(state(10, 1000))))[0].kv > 0


FLAGS = st.integers(1, 16_384)


@given(FLAGS, FLAGS, st.integers(0, 1000))
def test_more_requests_or_tokens_never_leave_more(seqs: int, batched: int, more: int) -> None:
    def kv(seqs: int, batched: int) -> int:
        flags = setup(MIXTRAL, max_num_seqs=seqs, max_num_batched_tokens=batched)
        return budgets(flags)[0].kv

    assert kv(seqs + more, batched) <= kv(seqs, batched)
    assert kv(seqs, batched + more) <= kv(seqs, batched)


@given(st.sampled_from([1, 2, 4, 8, 16, 32]), st.integers(1, 32), st.sampled_from(["0.16", "0.32"]))
def test_ranges_hold_their_values(tensor: int, pipeline: int, engine: str) -> None:
    for budget in budgets(setup(LLAMA_8B, tensor=tensor, pipeline=pipeline), engine):
        assert all(part.low <= part.bytes <= part.high for part in budget.parts)
        assert budget.kv_low <= budget.kv <= budget.kv_high


@given(st.sampled_from([LLAMA_8B, SMOLLM2, QWEN3_8B]), st.integers(1, 16))
def test_ranks_never_hold_less_than_their_share(model: Architecture, tensor: int) -> None:
    (rank,) = rank_weights(setup(model, tensor=tensor))
    assert sum(rank) * tensor >= 2 * model.parameters.total * (1 - 1e-12)


def test_peaks_written_out() -> None:
    """2 layers of 100 wide, hidden size 10, vocabulary 1,000; 7 tokens, 3 requests."""
    tiny = dense(2, 10, 100, heads=(1, 1), vocab=1000, head_size=10)
    flags = setup(tiny, max_num_seqs=3, max_num_batched_tokens=7)
    assert layer_peak(flags) == 7 * 2 * (3 * 100 + 4 * 10) + 32 * 2**20
    sampling = 3 * 1000 * 14 + 132 * 1000 * 4 + 2 * 10 * (7 + 2 * 3) + 32 * 2**20
    assert sampling_peak(flags) == sampling
    assert full(1, 1, 1).layers == 1


def test_measured_replica_fits_with_little_to_spare() -> None:
    """SmolLM2 with 1 GiB of KV cache took 3,116,422 kB (PSS of all its processes)."""
    measured = 3_116_422 * 1024
    needed = replica_memory(weight_bytes=269_060_552, kv_bytes=2**30)
    assert measured < needed < 1.15 * measured


def test_everything_adds() -> None:
    base = replica_memory(0, 0)
    assert replica_memory(5, 7) == base + 12
    assert replica_memory(0, 0, ranks=3) > replica_memory(0, 0, ranks=2) > base
