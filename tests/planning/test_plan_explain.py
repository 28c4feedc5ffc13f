"""Every capacity flag has an answer: whose value it is, and figures that say what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plan_kit import CHAT, SHORT, SMALL, planned

from headrace.planning.explain import NAMES, explain, flags
from headrace.planning.flags import Flag
from headrace.planning.plan import Plan

ON_CPU = {"model": SMALL, "hardware": "kind: cpu", "route": SHORT}
SEVENTY = "hf://meta-llama/Llama-3.1-70B@main"


def by_name(made: Plan) -> dict[str, Flag]:
    return {one.name: one for one in flags(made)}


def test_a_gpu_has_all_but_what_is_of_a_cpu_or_not_used(tmp_path: Path) -> None:
    staged = by_name(planned(tmp_path, deployment="pipeline_parallel: 2"))
    assert [name for name in NAMES if name != "kv_cache"] == list(staged)
    assert set(NAMES) - set(by_name(planned(tmp_path))) == {"kv_cache", "pipeline_parallel"}


@pytest.mark.usefixtures("small_cpu")
def test_a_cpu_has_all_but_what_is_of_a_gpu(tmp_path: Path) -> None:
    made = planned(tmp_path, **ON_CPU, deployment="kv_cache: 1GiB")
    assert set(NAMES) - set(by_name(made)) == {"gpu_memory_utilization", "pipeline_parallel"}


@pytest.mark.parametrize("name", NAMES)
def test_each_flag_is_explained_with_a_figure(tmp_path: Path, name: str) -> None:
    made = planned(
        tmp_path,
        model=SEVENTY,
        deployment="tensor_parallel: 2, pipeline_parallel: 2, quantization: fp8",
    )
    found = explain(made, name)
    if found is None:
        assert name == "kv_cache"
        return
    assert re.search(r"\d", found.why)
    assert found.brief
    assert str(found).startswith(f"{name} = ")


FIXED = {
    "quantization": "fp8", "tensor_parallel": "2", "gpu_memory_utilization": "0.9", "max_model_len": "8192",
    "max_num_seqs": "64", "max_num_batched_tokens": "2048",
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_whose_value_it_is(tmp_path: Path, name: str) -> None:
    assert by_name(planned(tmp_path))[name].origin == "default"
    assert by_name(planned(tmp_path, deployment=f"{name}: {FIXED[name]}"))[name].origin == "file"
    if name != "quantization":
        made = by_name(planned(tmp_path, deployment=f"{name}: auto"))
        assert made[name].origin == "auto"
        assert [one.name for one in made.values() if one.origin == "auto"] == [name]


@pytest.mark.usefixtures("small_cpu")
def test_whose_value_the_cache_of_a_cpu_is(tmp_path: Path) -> None:
    assert (
        by_name(planned(tmp_path, **ON_CPU, deployment="kv_cache: 1GiB"))["kv_cache"].whose
        == "the file"
    )
    assert (
        by_name(planned(tmp_path, **ON_CPU, deployment="kv_cache: auto"))["kv_cache"].whose
        == "auto"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [("min", "min: 1"), ("max", "max: 3"), ("triggers", "triggers: [{signal: demand, target: 3}]")],
)
def test_whose_value_scaling_is(tmp_path: Path, name: str, said: str) -> None:
    assert by_name(planned(tmp_path))[f"scaling.{name}"].origin == "default"
    made = by_name(planned(tmp_path, deployment=f"scaling: {{{said}}}"))
    assert {one.name for one in made.values() if one.origin == "file"} == {
        "model", "hardware", f"scaling.{name}",
    }  # fmt: skip


def test_what_model_and_hardware_are(tmp_path: Path) -> None:
    made = by_name(
        planned(
            tmp_path, model="hf://mistralai/Mixtral-8x7B-v0.1@main", deployment="tensor_parallel: 2"
        )
    )
    # Published: 46.7 billion parameters, 12.9 used for a token, 0.13 of them the embedding, which is only looked up.
    assert "46.7 billion parameters, 12.7 of them for each token: 93.4 GB" in made["model"].why
    assert "H100: 85.0 GB, 3,350 GB/s; 3.95 an hour" in made["hardware"].why


def test_what_quantization_saves_needs_evidence(tmp_path: Path) -> None:
    made = by_name(planned(tmp_path, deployment="quantization: fp8"))["quantization"]
    assert "9.1 GB instead of 16.1 GB (bf16)" in made.why
    assert "measure" in made.why
    assert by_name(planned(tmp_path))["quantization"].why == "as the weights are stored"


def test_one_accelerator_holds_the_model_only_if_it_does(tmp_path: Path) -> None:
    assert (
        by_name(planned(tmp_path))["tensor_parallel"].why == "one accelerator holds the whole model"
    )
    small = by_name(planned(tmp_path, hardware="kind: gpu, product: T4"))["tensor_parallel"]
    assert small.why.startswith("does not fit")


def test_the_share_of_memory_in_bytes(tmp_path: Path) -> None:
    made = by_name(planned(tmp_path, deployment="gpu_memory_utilization: 0.5"))[
        "gpu_memory_utilization"
    ]
    assert made.why.startswith("42.5 GB of 85.0 GB; ")  # half of 85,017,755,648 bytes


def test_a_length_that_refuses_requests_says_how_many_and_what_would_do(tmp_path: Path) -> None:
    made = by_name(planned(tmp_path, deployment="max_model_len: 2048"))["max_model_len"]
    total = planned(tmp_path).subject.traffic.totals
    assert made.why.startswith(
        f"{(total > 2048).mean():.2%} of the requests are longer and are refused"
    )
    assert "For these requests 7,424 would do" in made.why


def test_requests_at_once_without_a_rate_are_not_those_of_a_plan(tmp_path: Path) -> None:
    assert "at the planned rate" in by_name(planned(tmp_path))["max_num_seqs"].why
    assert "at half of the most" in by_name(planned(tmp_path, route=""))["max_num_seqs"].why
    broken = planned(tmp_path, route="slo: {tpot: 1ms}, traffic: {rate: 1}")
    assert "even a request alone has TPOT p95" in by_name(broken)["max_num_seqs"].why


def test_too_few_replicas_are_said_to_be(tmp_path: Path) -> None:
    route = CHAT.replace("rate: 5", "rate: 50")
    few = by_name(planned(tmp_path, route=route, deployment="scaling: {max: 1}"))["scaling.max"]
    assert "too few" in few.why
    many = by_name(planned(tmp_path, route=route, deployment="scaling: {max: 50}"))["scaling.max"]
    assert "too few" not in many.why
    assert (few.value, many.value) == (1, 50)


@pytest.mark.parametrize("name", ["scaling.min", "scaling.max", "scaling.triggers"])
def test_without_a_rate_scaling_says_so(tmp_path: Path, name: str) -> None:
    made = by_name(planned(tmp_path, route=""))[name]
    assert made.why == "route r declares no rate (set traffic.rate)"


def test_triggers_are_shown_and_advised(tmp_path: Path) -> None:
    made = by_name(planned(tmp_path))["scaling.triggers"]
    assert made.value == "waiting 5"
    assert made.why.startswith(("the plan would take waiting ", "the plan would take demand "))


@pytest.mark.usefixtures("small_cpu")
def test_the_cache_of_a_cpu_in_blocks(tmp_path: Path) -> None:
    made = by_name(planned(tmp_path, **ON_CPU, deployment="kv_cache: 2GiB, max_model_len: 2048"))[
        "kv_cache"
    ]
    assert made.written == "2 GiB"
    assert made.why.startswith("728 blocks, 93,184 tokens: 45.50 requests of 2,048 tokens")
