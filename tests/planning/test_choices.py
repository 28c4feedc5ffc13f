"""What `headrace choose` is given: offers by name and price, and the question that the routes ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from plan_kit import CHAT, about, fleet, text_of

from headrace.capacity.choose import choose
from headrace.capacity.options import Offer
from headrace.fleet.load import FleetFile
from headrace.planning.choices import offers, question
from headrace.planning.errors import PlanError


def names(found: tuple[Offer, ...]) -> list[tuple[str, float]]:
    return [(one.nodes.accelerator.name, one.price) for one in found]


@pytest.fixture
def file(tmp_path: Path) -> FleetFile:
    return fleet(tmp_path)


def test_named_ones_with_the_users_price_or_an_example(file: FleetFile) -> None:
    found = offers(file, ["H100=2.5", "l40s", "A100-80GB=0"])
    assert names(found) == [("H100", 2.5), ("L40S", 1.95), ("A100-80GB", 0)]
    assert {one.nodes.count for one in found} == {8}


def test_all_of_the_catalogue(file: FleetFile) -> None:
    found = offers(file, ["all"])
    assert {"H100", "A100-40GB", "T4", "MI300X", "RTX-4090"} <= {name for name, _ in names(found)}
    assert len(found) == len(set(names(found))) >= 11
    assert all(price > 0 for _, price in names(found))
    assert {price for _, price in names(offers(file, ["all=1"]))} == {1.0}


@pytest.mark.parametrize(
    ("on", "words"),
    [
        ("H100=cheap", "must be a number"),
        ("H100=", "must be a number"),
        ("H100=2=3", "must be a number"),
        ("H100=nan", "must be 0 or more"),
        ("H100=inf", "must be 0 or more"),
        ("H100=-1", "must be 0 or more"),
        ("all=-1", "must be 0 or more"),
        ("H1000=2", "no accelerator is known as 'H1000'; did you mean H100"),
        ("", "no accelerator is known as ''"),
        ("=3", "no accelerator is known as ''"),
    ],
)
def test_a_bad_offer_is_named_as_it_was_given(file: FleetFile, on: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        offers(file, [on])
    assert str(caught.value).startswith(f"--on {on}: ")
    assert words in str(caught.value)


def test_without_names_the_files_products_are_offered(tmp_path: Path) -> None:
    text = """\
fleet: f
models: {m: {weights: "file:///m"}}
hardware:
  here: {kind: cpu}
  large: {kind: gpu, product: H100, hourly_price: 2, nodes: 3, per_node: 4}
  twin: {kind: emulated, product: L4}
  bare: {kind: emulated}
deployments: {d: {model: m, hardware: large}}
routes: {r: {match: {}, deployment: d}}
"""
    found = offers(text_of(tmp_path, text), ())
    assert names(found) == [("H100", 2.0), ("L4", 0.8)]
    assert (found[0].nodes.count, found[0].nodes.per_node) == (3, 4)


def test_a_file_without_products_says_how_to_name_some(tmp_path: Path) -> None:
    twins = fleet(tmp_path, hardware="kind: emulated")
    with pytest.raises(PlanError, match=r"has no hardware with a product .* --on H100=2\.5"):
        offers(twins, ())


def test_the_question_is_what_the_routes_ask(tmp_path: Path) -> None:
    ask = question(about(tmp_path))
    assert (ask.rate, ask.slo.ttft, ask.slo.tpot) == (5, 2, 0.06)
    # p99.9 of prompts 6,306 and of answers 946, rounded up to 256.
    assert ask.max_model_len == 7424
    assert ask.kv_dtype_bytes == 2
    assert question(about(tmp_path), 7.5).rate == 7.5


def test_the_question_keeps_what_the_deployment_says(tmp_path: Path) -> None:
    ask = question(
        about(
            tmp_path,
            deployment="max_model_len: 12000, gpu_memory_utilization: 0.8, engine: {flags: {kv-cache-dtype: fp8}}",
        )
    )
    assert (ask.max_model_len, ask.gpu_memory_utilization, ask.kv_dtype_bytes) == (12_000, 0.8, 1)


def test_without_a_rate_there_is_no_question(tmp_path: Path) -> None:
    made = about(tmp_path, route="")
    with pytest.raises(PlanError, match=r"route r declares no rate .* or give --rate"):
        question(made)
    assert question(made, 2.0).rate == 2


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none(tmp_path: Path, rate: float) -> None:
    with pytest.raises(PlanError, match=r"^deployments\.d: the rate is .* above 0"):
        question(about(tmp_path), rate)


def test_requests_longer_than_the_limit_are_refused_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(
        PlanError, match=r"^deployments\.d: a mean request has .* max_model_len 256"
    ):
        question(about(tmp_path, deployment="max_model_len: 256"))


def test_a_real_decision_ranks_by_cost(tmp_path: Path) -> None:
    made = about(
        tmp_path,
        model="hf://meta-llama/Llama-3.1-70B-Instruct@main",
        deployment="tensor_parallel: auto",
        route=CHAT,
    )
    found = choose(question(made), offers(fleet(tmp_path), ["A100-80GB=2", "H100=3.5"]))
    costs = [one.option.cost.hour for one in found.kept]
    assert costs == sorted(costs)
    assert {one.option.setup.accelerator.name for one in found.kept} == {"A100-80GB", "H100"}
    # 141 GB of bf16 weights need two cards of 80 GB at least.
    whole = [one.option for one in found.kept if one.option.setup.weights.scheme == "bf16"]
    assert whole
    assert all(one.setup.layout.accelerators >= 2 for one in whole)
