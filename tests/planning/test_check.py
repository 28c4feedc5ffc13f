"""Plans against what engines said: real logs of six cards and versions, and the one of this repository.

Figures beside the cases are worked out by hand: Llama-3.1-8B keeps 2 x 32 layers x 8 heads x 128 x
2 bytes x 16 tokens = 2,097,152 bytes in a block; SmolLM2 2 x 30 x 3 x 64 x 2 x 128 = 2,949,120.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.capacity.fits import fit
from headrace.capacity.setup import Layout, Setup
from headrace.engines.vllm_memory_lines import Said
from headrace.engines.vllm_memory_log import MemorySaid, RankSaid, memory_said
from headrace.hardware.catalogue import find_accelerator
from headrace.models.catalogue import need_known_model
from headrace.models.weight_bytes import weights_by_formula
from headrace.planning.check import Check, check
from headrace.planning.check_row import AS_PLANNED, WITHIN, Row

RECORDED = Path(__file__).parents[1] / "engines" / "data" / "start_0_32_0.txt"
GIB = 2**30
MIB = 2**20


def setup(model: str, card: str, layout: Layout | None = None, **flags: object) -> Setup:
    architecture = need_known_model(model)
    made = Setup(
        architecture,
        weights_by_formula(architecture),
        find_accelerator(card),
        layout or Layout(),
        max_num_seqs=256,
        max_num_batched_tokens=2048,
        gpu_memory_utilization=0.9,
    )
    return replace(made, **flags)  # type: ignore[arg-type]


def here(**flags: object) -> Setup:
    """SmolLM2 as it was recorded, on a CPU."""
    gpu = find_accelerator("L4")
    given = setup("SmolLM2-135M", "L4", accelerator=replace(gpu, kind="cpu"))
    fixed = {"kv_bytes": 768 * MIB, "block": 128, "max_model_len": 2048, "max_num_seqs": 8}
    return replace(given, **(fixed | flags))  # type: ignore[arg-type]


def lines(text: str) -> MemorySaid:
    return memory_said(text.strip().splitlines())


def found(result: Check, part: str) -> Row:
    return next(row for row in result.rows if row.part == part)


def verdicts(result: Check) -> dict[str, str]:
    return {row.part: row.verdict for row in result.rows}


def test_this_repositorys_recording_is_as_planned_to_the_block() -> None:
    """768 MiB // 2,949,120 bytes = 273 blocks of 128 tokens, 273 / 16 requests of 2,048."""
    result = check(fit(here()), memory_said(RECORDED.read_text().splitlines()))
    assert result.good
    assert result.conclusion == (
        "as planned: 273 KV blocks, 34,944 KV tokens, 17.06 requests of 2,048 tokens"
    )
    assert {row.verdict for row in result.rows} == {AS_PLANNED}
    assert found(result, "KV block").said == 2_949_120
    # 134.5 million parameters of 2 bytes, where the log has two digits of a GiB
    assert found(result, "weight files").planned == pytest.approx(269_030_016)


H100 = """
INFO [core.py:105] Initializing a V1 LLM engine (v0.19.0) with config: model='meta-llama/Llama-3.1-8B-Instruct', max_seq_len=16384, tensor_parallel_size=1, pipeline_parallel_size=1, data_parallel_size=1, enforce_eager=False, kv_cache_dtype=auto, device_config=cuda
DEBUG [gpu_worker.py:284] worker init memory snapshot: torch_peak=0.0GiB, free_memory=78.68GiB, total_memory=79.19GiB, cuda_memory=0.51GiB
DEBUG [gpu_worker.py:285] worker requested memory: 75.23GiB
INFO [gpu_model_runner.py:4820] Model loading took 14.99 GiB memory and 14.429680 seconds
DEBUG [gpu_worker.py:430] Memory profiling takes 17.96 seconds. Total non KV cache memory: 17.12GiB; torch peak memory increase: 1.89GiB; non-torch forward increase memory: 0.25GiB; weights memory: 14.99GiB.
INFO [gpu_worker.py:436] Available KV cache memory: 58.11 GiB
INFO [kv_cache_utils.py:1319] GPU KV cache size: 476,016 tokens
INFO [kv_cache_utils.py:1324] Maximum concurrency for 16,384 tokens per request: 29.05x
DEBUG [loggers.py:142] Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 29751
"""


def h100(**flags: object) -> Setup:
    known = {"max_model_len": 16_384, "max_num_seqs": 1024, "max_num_batched_tokens": 8192}
    share = {"gpu_memory_utilization": 0.95}
    return setup("Llama-3.1-8B", "H100", **(known | share | flags))


def test_an_h100_part_by_part() -> None:
    result = check(fit(h100(), "0.19.0"), lines(H100), "0.19.0")
    assert result.good
    assert (result.version, result.model) == ("0.19.0", "meta-llama/Llama-3.1-8B-Instruct")
    assert verdicts(result) == {
        "memory of the card": AS_PLANNED,
        "weights": AS_PLANNED,
        "activation peak": WITHIN,
        "driver and libraries": WITHIN,
        "KV block": AS_PLANNED,
        "KV cache": WITHIN,
        "KV blocks": WITHIN,
        "KV tokens": WITHIN,
        "requests of 16,384 tokens": WITHIN,
    }
    assert found(result, "KV blocks").said == 29_751
    assert found(result, "KV block").said == 16 * 131_072
    libraries = found(result, "driver and libraries")
    assert libraries.said == pytest.approx(0.25 * GIB)
    assert libraries.difference == pytest.approx(-0.2 * GIB)
    assert "furthest from its value is driver and libraries with 0.25 GiB instead of 0.45 GiB" in (
        result.conclusion
    )


A100 = """
INFO [gpu_model_runner.py:2007] Model loading took 14.9889 GiB and 11.314340 seconds
INFO [gpu_worker.py:276] Available KV cache memory: 19.25 GiB
INFO [kv_cache_utils.py:849] GPU KV cache size: 157,648 tokens
INFO [kv_cache_utils.py:853] Maximum concurrency for 131,072 tokens per request: 1.20x
INFO [loggers.py:142] Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 9853
"""
RTX_4090 = """
INFO: Model loading took 14.9889 GiB and 3.565280 seconds
INFO: Available KV cache memory: 4.95 GiB
INFO: GPU KV cache size: 40,528 tokens
INFO: Maximum concurrency for 10,000 tokens per request: 4.05x
"""


@pytest.mark.parametrize(
    ("card", "length", "version", "log", "blocks", "rest"),
    [
        # 0.9 x 42,298,834,944 bytes = 35.45 GiB, less 14.9889 and 19.25
        ("A100-40GB", 131_072, "0.10.1.1", A100, 9853, 1.22),
        # 0.9 x 23.52 GiB = 21.16, less 14.9889 and 4.95; 40,528 tokens are 2,533 blocks
        ("RTX-4090", 10_000, "0.11.0", RTX_4090, 2533, 1.23),
    ],
)
def test_what_is_not_told_is_worked_out_and_compared_as_one(
    card: str,
    length: int,
    version: str,
    *,
    log: str,
    blocks: int,
    rest: float,
) -> None:
    given = setup("Llama-3.1-8B", card, max_model_len=length)
    result = check(fit(given, version), lines(log), version)
    assert result.good
    row = found(result, "activation peak, driver and libraries")
    assert row.said / GIB == pytest.approx(rest, abs=0.01)
    assert row.verdict == WITHIN
    assert row.assumption.startswith(f"90% of {card}; ")
    assert found(result, "KV blocks").said == blocks


def test_a_cache_that_only_its_blocks_tell() -> None:
    """0.8.5 on an L40S: no bytes are logged. 9,916 blocks of 2 MiB are 19.37 GiB."""
    log = lines("""
INFO [gpu_model_runner.py:1316] Model loading took 14.9889 GiB and 3.652170 seconds
INFO [kv_cache_utils.py:634] GPU KV cache size: 158,656 tokens
INFO [kv_cache_utils.py:637] Maximum concurrency for 32,768 tokens per request: 4.84x
""")
    result = check(fit(setup("Llama-3.1-8B", "L40S", max_model_len=32_768), "0.8.5"), log, "0.8.5")
    assert found(result, "KV cache").said == 9916 * 2 * MIB
    # that run used less of its card than the 90 % that are planned here
    assert verdicts(result)["KV blocks"] == "off: activation peak, driver and libraries"
    assert result.conclusion.startswith("most off is activation peak, driver and libraries: 5.5")
    assert "(90% of L40S; " in result.conclusion
    assert result.conclusion.endswith("9,916 KV blocks instead of 11,892 (-16.6%)")


def test_the_part_that_is_most_off_is_blamed() -> None:
    """Libraries take 2.25 GiB of an H100 instead of at most 0.6, activations only 0.2 too many."""
    text = H100.replace("increase memory: 0.25GiB", "increase memory: 2.25GiB")
    text = text.replace("increase: 1.89GiB", "increase: 2.18GiB")
    text = text.replace("58.11", "56.11").replace("29751", "28727").replace("476,016", "459,632")
    result = check(fit(h100(), "0.19.0"), lines(text.replace("29.05x", "28.05x")), "0.19.0")
    assert not result.good
    blame = "off: driver and libraries"
    told = verdicts(result)
    assert told["activation peak"] == "off: activation peak"
    assert told["driver and libraries"] == blame
    assert {told["KV cache"], told["KV blocks"], told["requests of 16,384 tokens"]} == {blame}
    assert found(result, "driver and libraries").outside == pytest.approx(1.65 * GIB)
    assert "most off is driver and libraries: 2.25 GiB instead of 0.45 GiB" in result.conclusion
    assert "assumed was 0.02 to 0.60 GiB (published logs, upper end)" in result.conclusion
    assert "28,727 KV blocks instead of 29,642" in result.conclusion


def test_another_width_of_keys_and_values_shows_in_the_block() -> None:
    """FP8 halves a block: the same cache has twice the blocks, 29,751 x 2 + 1."""
    text = H100.replace("29751", "59503").replace("476,016", "952,048").replace("29.05", "58.11")
    result = check(fit(h100(), "0.19.0"), lines(text), "0.19.0")
    block = found(result, "KV block")
    assert block.verdict == "off: KV block"
    assert block.said == pytest.approx(MIB, rel=1e-3)
    assert block.outside == pytest.approx(MIB * 59_503, rel=1e-3)  # what it moves in all blocks
    assert result.conclusion.startswith("most off is KV block: 1,048,6")
    said = check(fit(h100(kv_dtype_bytes=1), "0.19.0"), lines(text), "0.19.0")
    assert found(said, "KV block").verdict == AS_PLANNED


def test_a_rounded_cache_may_have_more_blocks_than_its_figure() -> None:
    """58.1142 GiB are logged as 58.11 and have 29,754 blocks, which take 58.1133."""
    ranks = (RankSaid(weights=Said(15 * GIB), available=Said(round(58.11 * GIB), 5_368_709)),)
    result = check(fit(h100()), MemorySaid(ranks=ranks, blocks=29_754))
    assert found(result, "KV block").verdict == AS_PLANNED


def test_a_fixed_cache_leaves_no_rest() -> None:
    """What a fixed cache leaves is not what the engine needs."""
    ranks = (RankSaid(weights=Said(15 * GIB), available=Said(20 * GIB)),)
    told = verdicts(check(fit(h100(kv_bytes=20 * GIB)), MemorySaid(ranks=ranks)))
    assert told == {"weights": AS_PLANNED, "KV cache": AS_PLANNED}


def test_a_log_of_another_setup_is_said_first() -> None:
    result = check(fit(h100(max_model_len=8192, max_num_seqs=64)), lines(H100))
    assert not result.good
    assert [str(one) for one in result.settings] == [
        "vLLM is 0.19.0, planned 0.32.0",
        "max_model_len is 16,384, planned 8,192",
    ]
    assert result.conclusion.startswith(
        "the log is of another setup: vLLM is 0.19.0, planned 0.32.0, max_model_len is 16,384,"
    )


def test_every_flag_that_decides_memory_is_compared() -> None:
    said = MemorySaid(
        version="0.32.0+cpu",
        device="gpu",
        tensor=2,
        pipeline=3,
        max_model_len=1024,
        max_num_seqs=9,
        max_num_batched_tokens=4096,
        arguments={"block_size": 64, "kv_cache_memory_bytes": GIB, "kv_cache_dtype": "fp8_e4m3"},
        tokens=1,
    )
    names = [one.name for one in check(fit(here()), said).settings]
    assert names == [
        "device",
        "tensor_parallel",
        "pipeline_parallel",
        "max_model_len",
        "max_num_seqs",
        "max_num_batched_tokens",
        "block_size",
        "kv_cache of each rank",
        "bytes of a KV value",
    ]
    share = replace(said, arguments={}, gpu_memory_utilization=0.8)
    shown = [str(one) for one in check(fit(h100()), share).settings]
    assert "gpu_memory_utilization is 0.8, planned 0.95" in shown
    assert check(fit(here()), MemorySaid(version="nightly", tokens=1)).settings[0].name == "vLLM"


def test_ranks_of_a_stage_count_by_the_worst_and_stages_apart() -> None:
    """Two stages of two: each is held against its own budget, by name or by number."""
    given = setup("Llama-3.1-8B", "H100", Layout(2, 2))
    plan = fit(given, "0.19.0")
    weights = [
        sum(
            part.bytes
            for part in one.parts
            if part.name in {"weights", "copied weights", "rotary table"}
        )
        for one in plan.budgets
    ]

    def told(stage: int, more: int) -> RankSaid:
        return RankSaid(
            stage=stage, weights=Said(weights[stage] + more), available=Said(GIB - more)
        )

    ranks = (told(0, 0), told(0, GIB), told(1, 0), RankSaid(ordinal=3, available=Said(5 * MIB)))
    result = check(plan, MemorySaid(ranks=ranks), "0.19.0")
    assert found(result, "weights, stage 0").difference == GIB
    assert found(result, "weights, stage 1").verdict == AS_PLANNED
    assert found(result, "KV cache, stage 0").said == 0
    assert found(result, "KV cache, stage 1").said == 5 * MIB
    assert "KV block" not in verdicts(result)  # stages have blocks of their own sizes


def test_ranks_of_unknown_stage_are_left_out() -> None:
    plan = fit(setup("Llama-3.1-8B", "H100", Layout(1, 2)), "0.8.5")
    ranks = (RankSaid(weights=Said(8 * GIB)), RankSaid(weights=Said(9 * GIB)))
    assert check(plan, MemorySaid(ranks=ranks, blocks=100), "0.8.5").rows[0].part == "KV blocks"
    alone = check(plan, MemorySaid(ranks=ranks[:1]), "0.8.5")
    assert found(alone, "weights, stage 0").said == 8 * GIB


def test_tensor_parallel_ranks_have_their_share_of_a_block() -> None:
    """4 of 8 heads: 1 MiB a block. 44.59 GiB are 45,660 of them."""
    plan = fit(setup("Llama-3.1-8B", "H100", Layout(2), max_model_len=16_384), "0.19.0")
    ranks = tuple(RankSaid(stage=0, available=Said(size)) for size in (45_661 * MIB, 45_660 * MIB))
    said = MemorySaid(ranks=ranks, tokens=45_660 * 16, max_model_len=16_384)
    result = check(plan, said, "0.19.0")
    assert found(result, "KV block").verdict == AS_PLANNED
    assert found(result, "KV cache").said == 45_660 * MIB
    assert found(result, "KV blocks").said == 45_660


def test_an_eager_engine_has_no_graphs() -> None:
    plan = fit(setup("Llama-3.1-8B", "H100"))
    ranks = (RankSaid(weights=Said(15 * GIB), available=Said(50 * GIB)),)
    eager = check(plan, MemorySaid(ranks=ranks, eager=True))
    assert found(eager, "CUDA graphs").said == 0
    assert (
        found(eager, "CUDA graphs").verdict == "off: CUDA graphs"
    )  # at least 0.04 GiB are planned
    told = replace(ranks[0], graphs_estimated=Said(GIB), graphs=Said(2 * GIB))
    counted = check(plan, MemorySaid(ranks=(told,), eager=False))
    assert found(counted, "CUDA graphs").said == GIB  # what was taken from the cache


def test_tokens_of_a_hybrid_model_as_older_versions_wrote_them() -> None:
    """gpt-oss-20b has two groups: of 1,001 blocks 500 each, 8,000 tokens, and not 2 x 8,192 / L."""
    given = setup("gpt-oss-20b", "H100", max_model_len=131_072, kv_bytes=1001 * 393_216)
    plan = fit(given, "0.11.0")
    assert plan.cache.blocks == 1001
    old = MemorySaid(
        blocks=1001, tokens=8000, concurrency=plan.cache.concurrency(), max_model_len=131_072
    )
    assert old.tokens_by_group
    assert found(check(plan, old, "0.11.0"), "KV tokens").verdict == AS_PLANNED
    new = replace(old, tokens=plan.cache.tokens)
    assert found(check(plan, new, "0.11.0"), "KV tokens").verdict == AS_PLANNED
    alone = replace(old, blocks=None)
    assert found(check(plan, alone, "0.11.0"), "KV blocks").said == 1000  # one is lost in the sum


def test_a_cache_of_unknown_size() -> None:
    said = MemorySaid(ranks=(RankSaid(weights=Said(15 * GIB)),))
    result = check(fit(setup("Llama-3.1-8B", "H100")), said)
    assert result.conclusion.endswith("the log does not tell the size of the KV cache")


@given(
    st.sampled_from(["Llama-3.1-8B", "gpt-oss-20b", "Gemma-3-27B", "DeepSeek-V3"]),
    st.integers(2, 200_000),
    st.integers(1, 16_384),
)
@example("Llama-3.1-8B", 27_842, 16)  # 1740.125 requests, logged as 1740.12
def test_blocks_come_back_from_tokens(model: str, blocks: int, pages: int) -> None:
    """What any engine of 0.32 logs leads back to its blocks, for every kind of cache."""
    given = setup(model, "H100", max_model_len=16 * pages)
    each = fit(given).cache.layout.block_bytes[0]
    plan = fit(replace(given, kv_bytes=blocks * each))
    cache = plan.cache
    said = MemorySaid(
        tokens=cache.tokens,
        concurrency=round(cache.concurrency(), 2),
        max_model_len=given.max_model_len,
    )
    result = check(plan, said)
    assert found(result, "KV blocks").said == blocks
    assert result.good
