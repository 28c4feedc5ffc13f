"""A file with nothing left open, as every runtime and `headrace validate` see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from plan_kit import SHORT, SMALL, fleet, text_of

from headrace.fleet.problems import FleetError
from headrace.planning.settled import settled

MIXED = """\
fleet: f
models: {m: {weights: "hf://meta-llama/Llama-3.1-8B@main"}}
hardware: {h: {kind: gpu, product: H100}, twin: {kind: emulated}}
deployments:
  a: {model: m, hardware: h, max_num_seqs: auto, max_model_len: auto}
  b: {model: m, hardware: twin}
  c: {model: m, hardware: h, gpu_memory_utilization: auto}
routes:
  a: {match: {model: [a]}, deployment: a}
  b: {match: {model: [b]}, deployment: b}
  c: {match: {model: [c]}, deployment: c}
"""


def test_a_file_without_auto_is_itself(tmp_path: Path) -> None:
    file = fleet(tmp_path)
    assert settled(file).file is file
    assert list(settled(file).lines()) == []


def test_a_file_without_auto_needs_no_model_and_no_product(tmp_path: Path) -> None:
    file = fleet(tmp_path, model="file:///nowhere", hardware="kind: emulated")
    assert settled(file).file is file


def test_only_what_is_open_is_chosen(tmp_path: Path) -> None:
    file = text_of(tmp_path, MIXED)
    made = settled(file)
    known = made.file.fleet.deployments
    assert all(not one.open for one in known.values())
    assert known["b"] is file.fleet.deployments["b"]
    assert {name: [flag.name for flag in flags] for name, flags in made.chosen.items()} == {
        "a": ["max_model_len", "max_num_seqs"],
        "c": ["gpu_memory_utilization"],
    }
    assert known["a"].max_model_len == made.chosen["a"][0].value
    assert known["c"].gpu_memory_utilization == 0.92
    assert [line.partition(" = ")[0] for line in made.lines()] == [
        "a.max_model_len", "a.max_num_seqs", "c.gpu_memory_utilization",
    ]  # fmt: skip
    assert file.fleet.deployments["a"].open  # the file that was read is not changed


@pytest.mark.usefixtures("small_cpu")
def test_the_same_file_means_the_same_replicas(tmp_path: Path) -> None:
    file = fleet(
        tmp_path, model=SMALL, hardware="kind: cpu", route=SHORT, deployment="kv_cache: auto"
    )
    assert settled(file) == settled(file)


@pytest.mark.parametrize(
    ("parts", "field", "words"),
    [
        ({"hardware": "kind: emulated"}, "max_num_seqs", "hardware.h.product is not said"),
        ({"hardware": "kind: gpu, product: T4"}, "max_num_seqs", "does not fit"),
        ({"model": "hf://me/mine@main"}, "max_num_seqs", "headrace weights pull"),
        ({"deployment": "kv_cache: auto"}, "kv_cache", "on a GPU the cache is what"),
        (
            {"deployment": "tensor_parallel: 3, max_num_seqs: auto"},
            "max_num_seqs",
            "does not divide",
        ),
        ({"route": "traffic: {trace: none.csv}"}, "max_num_seqs", "routes.r.traffic"),
    ],
)
def test_what_cannot_be_chosen_names_file_and_line(
    tmp_path: Path, parts: dict[str, str], field: str, words: str
) -> None:
    file = fleet(tmp_path, **({"deployment": "max_num_seqs: auto"} | parts))
    with pytest.raises(FleetError) as caught:
        settled(file)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{file.path}:5: deployments.d.{field}: auto: ")
    assert words in problem.message
