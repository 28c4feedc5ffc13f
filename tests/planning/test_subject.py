"""A deployment with all that its plan rests on: the file's flags, the engine's defaults, the model's bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from plan_kit import CHAT, SHORT, SMALL, about, fleet, text_of

from headrace.hardware.accelerator import Accelerator
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError
from headrace.planning.page import page
from headrace.planning.plan import plan
from headrace.planning.report import notes, report
from headrace.planning.subject import Subject, subject

LONG = "max_model_len: 8192, kv_cache: 40GiB"
"""The pool of the golden vector: 20,480 blocks of 16 tokens and 2,097,152 bytes, 40.00 requests."""


def test_what_the_file_leaves_to_the_engine(tmp_path: Path) -> None:
    setup = about(tmp_path).setup
    assert setup.max_model_len == 131_072  # the model's
    assert setup.max_num_seqs == 64  # Headrace's own
    assert setup.max_num_batched_tokens == 8192  # vLLM's on 80 GB that are no A100
    assert (setup.gpu_memory_utilization, setup.block, setup.kv_bytes) == (0.92, 16, None)
    assert setup.async_scheduling


@pytest.mark.parametrize(
    ("hardware", "engine", "tokens", "utilization"),
    [
        ("product: A100-80GB", "0.32.0", 2048, 0.92),
        ("product: L4", "0.32.0", 2048, 0.92),
        ("product: H200", "0.32.0", 8192, 0.92),
        ("product: B200", "0.32.0", 16_384, 0.92),
        ("product: H100", "0.19.0", 8192, 0.9),
    ],
)
def test_the_defaults_are_those_of_engine_and_product(
    tmp_path: Path, hardware: str, engine: str, tokens: int, utilization: float
) -> None:
    made = about(
        tmp_path, hardware=f"kind: gpu, {hardware}", deployment=f"engine: {{version: {engine}}}"
    )
    assert made.setup.max_num_batched_tokens == tokens
    assert made.setup.gpu_memory_utilization == utilization


@pytest.mark.parametrize("engine", ["tgi", "sglang", "trtllm", "triton"])
def test_other_engines_are_planned_as_vllm_and_never_called_that(
    tmp_path: Path, engine: str
) -> None:
    """Their versions say nothing of vLLM's defaults: SGLang 0.5 is not vLLM 0.5."""
    made = plan(about(tmp_path, deployment=f"engine: {{name: {engine}}}"))
    setup = made.subject.setup
    assert (setup.gpu_memory_utilization, setup.async_scheduling) == (0.92, True)
    said = " ".join(str(page(made).renderables[0]).split())
    assert f", {engine} " in said
    assert "vLLM" not in said
    assert report(made).engine.startswith(f"{engine} ")
    assert f"planned as vLLM 0.32.0: {engine} is not modelled" in notes(made)
    assert made.subject.engine.startswith(f"{engine} ")  # and not a calibration of vLLM's


def test_flags_that_the_plan_does_not_count_are_named(tmp_path: Path) -> None:
    flags = "{cpu_offload_gb: 8, enforce-eager: true, kv-cache-dtype: fp8}"
    said = notes(plan(about(tmp_path, deployment=f"engine: {{flags: {flags}}}")))
    assert [one for one in said if one.startswith("engine.flags")] == [
        "engine.flags.cpu-offload-gb changes memory, which this plan does not count",
        "engine.flags.enforce-eager changes memory and speed, which this plan does not count",
    ]
    said = notes(plan(about(tmp_path, deployment="engine: {flags: {enforce-eager: false}}")))
    assert not any(one.startswith("engine.flags") for one in said)


def test_what_the_file_says_is_taken(tmp_path: Path) -> None:
    made = about(
        tmp_path,
        deployment="max_model_len: 4096, max_num_seqs: 7, max_num_batched_tokens: 3000,"
        " gpu_memory_utilization: 0.5, tensor_parallel: 2, pipeline_parallel: 2",
    )
    setup = made.setup
    assert (setup.max_model_len, setup.max_num_seqs, setup.max_num_batched_tokens) == (
        4096,
        7,
        3000,
    )
    assert (setup.gpu_memory_utilization, str(setup.layout)) == (0.5, "TP2 x PP2")


@pytest.mark.parametrize(
    ("flags", "blocks", "tokens"),
    [
        ("", 20_480, 327_680),
        ("kv-cache-dtype: fp8", 40_960, 655_360),  # half the bytes
        ("kv_cache_dtype: fp8_e4m3", 40_960, 655_360),
        ("kv-cache-dtype: auto", 20_480, 327_680),
        ("block-size: 32", 10_240, 327_680),
        ("block-size: '64'", 5_120, 327_680),
    ],
)
def test_flags_that_change_the_cache(tmp_path: Path, flags: str, blocks: int, tokens: int) -> None:
    made = about(tmp_path, deployment=f"{LONG}, engine: {{flags: {{{flags}}}}}")
    assert (made.fit.cache.blocks, made.fit.cache.tokens) == (blocks, tokens)


def test_a_cache_is_shared_out_over_ranks(tmp_path: Path) -> None:
    made = about(tmp_path, deployment=f"{LONG}, tensor_parallel: 2")
    assert made.setup.kv_bytes == 20 * 2**30
    assert made.fit.cache.blocks == 20_480  # half the bytes for half the heads


def test_async_scheduling_can_be_off(tmp_path: Path) -> None:
    made = about(tmp_path, deployment="engine: {flags: {async-scheduling: false}}")
    assert not made.setup.async_scheduling


@pytest.mark.parametrize("value", ["abc", "0", "-16", "1.5"])
def test_a_block_size_that_is_none_names_its_field(tmp_path: Path, value: str) -> None:
    made = about(tmp_path, deployment=f"engine: {{flags: {{block-size: '{value}'}}}}")
    with pytest.raises(PlanError, match=r"^deployments\.d\.engine\.flags\.block-size: '"):
        _ = made.setup


def test_quantized_weights_by_formula(tmp_path: Path) -> None:
    matrices = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14_336)
    rest = 2 * 128_256 * 4096 + 65 * 4096  # embedding and head, norms
    whole = about(tmp_path).weights
    assert (whole.scheme, whole.total) == ("bf16", 2 * (matrices + rest))
    fp8 = about(tmp_path, deployment="quantization: fp8").weights
    assert fp8.scheme == "fp8"
    assert fp8.total == int(matrices * (8 + 32 / 128**2) / 8) + 2 * rest
    awq = about(tmp_path, deployment="quantization: awq").weights
    assert awq.total == pytest.approx(matrices * (4 + 20 / 128) / 8 + 2 * rest, abs=1)


def test_a_model_that_is_published_quantized_is_planned_so(tmp_path: Path) -> None:
    made = about(tmp_path, model="hf://someone/Llama-3.1-8B-Instruct-AWQ@main")
    assert made.weights.scheme == "awq"


def test_an_unknown_quantization_names_its_field_and_those_near(tmp_path: Path) -> None:
    made = about(tmp_path, deployment="quantization: fp9")
    with pytest.raises(PlanError, match=r"^deployments\.d\.quantization: .*'fp9'.*perhaps fp8"):
        _ = made.weights


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("hf://meta-llama/Llama-3.1-9B@main", ["Llama-3.1-8B", "headrace weights pull"]),
        ("hf://me/mine@main", ["is not in the catalogue", "headrace weights pull"]),
        ("file:///nowhere/at-all", ["headrace weights pull"]),
    ],
)
def test_an_unknown_model_says_what_to_do(tmp_path: Path, model: str, words: list[str]) -> None:
    with pytest.raises(WeightsError) as caught:
        about(tmp_path, model=model)
    assert all(word in str(caught.value) for word in words)


def test_an_unknown_deployment_suggests(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="has no deployment 'dd'; did you mean 'd'"):
        subject(fleet(tmp_path), "dd")


TWO = """\
fleet: f
models: {m: {weights: "hf://meta-llama/Llama-3.1-8B@main"}}
hardware: {h: {kind: gpu, product: H100}}
deployments: {d: {model: m, hardware: h}}
routes:
  chat: {match: {model: [chat]}, deployment: d, workload: interactive, slo: {ttft: 3s}, %s}
  jobs: {match: {model: [jobs]}, deployment: d, workload: batch, slo: {tpot: 20ms}, traffic: {rate: 2}}
"""


def two(folder: Path, traffic: str) -> Subject:
    return subject(text_of(folder, TWO % traffic), "d")


def test_the_strictest_promise_of_all_routes_counts(tmp_path: Path) -> None:
    slo = two(tmp_path, "traffic: {rate: 1}").slo
    assert (slo.ttft, slo.tpot) == (3, 0.02)
    assert "chat: TTFT as the file says" in slo.why
    assert "jobs: TPOT as the file says" in slo.why


def test_rates_add_up_and_one_that_is_not_known_makes_the_sum_unknown(tmp_path: Path) -> None:
    assert two(tmp_path, "traffic: {rate: 1.5}").rate == pytest.approx(3.5)
    assert two(tmp_path, "priority: normal").rate is None


def test_a_deployment_that_only_takes_overflow_can_be_planned(tmp_path: Path) -> None:
    text = TWO % "traffic: {rate: 1}, overflow: [{deployment: e, when: [queue]}]"
    text = text.replace(
        "d: {model: m, hardware: h}", "d: {model: m, hardware: h}, e: {model: m, hardware: h}"
    )
    made = subject(text_of(tmp_path, text), "e")
    assert made.rate is None
    assert [one.route for one in made.loads] == ["chat"]


def test_a_cpu_has_blocks_of_128_and_a_cache_in_bytes(
    tmp_path: Path, small_cpu: Accelerator
) -> None:
    made = about(
        tmp_path,
        model=SMALL,
        hardware="kind: cpu",
        deployment="kv_cache: 2GiB, max_model_len: 2048",
        route=CHAT,
    )
    assert made.place.accelerator == small_cpu
    # 30 layers, 3 KV heads of 64, K and V, 2 bytes: 23,040 a token; the engine's log said 728 blocks.
    assert made.fit.cache.blocks == 2 * 2**30 // (128 * 23_040) == 728
    assert made.fit.cache.tokens == 93_184
    assert made.fit.cache.concurrency() == pytest.approx(45.5)


def test_ranks_on_a_cpu_share_it(tmp_path: Path, small_cpu: Accelerator) -> None:
    made = about(
        tmp_path,
        hardware="kind: cpu",
        deployment="tensor_parallel: 3, kv_cache: 3GiB, max_model_len: 2048",
    )
    rank = made.setup.accelerator
    assert rank.bandwidth == pytest.approx(small_cpu.bandwidth / 3)
    assert rank.compute["bf16"] == pytest.approx(small_cpu.compute["bf16"] / 3)
    assert rank.memory == small_cpu.memory // 3


@pytest.mark.usefixtures("small_cpu")
def test_a_plan_of_ranks_on_a_cpu_is_of_one_machine(tmp_path: Path) -> None:
    """SmolLM2 has 9 heads, so three ranks start and two do not, whatever the cores."""
    cpu = {"model": SMALL, "hardware": "kind: cpu, hourly_price: 2", "route": SHORT}
    how = "kv_cache: 3GiB, max_model_len: 2048, tensor_parallel: "
    made = plan(about(tmp_path, **cpu, deployment=f"{how}3"))
    assert made.fit.ok
    assert "on each of 3 ranks of" in made.fit.why
    assert made.hourly == 2
    with pytest.raises(PlanError, match="2 does not divide the 9 attention heads"):
        plan(about(tmp_path, **cpu, deployment=f"{how}2"))
