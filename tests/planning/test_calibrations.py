"""Calibrations beside a fleet file: kept, found again nearest first, and never trusted too far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from plan_kit import about

from headrace.capacity.efficiency import UNCALIBRATED, Efficiency
from headrace.capacity.setup import Layout
from headrace.planning.calibrations import Calibration, Calibrations
from headrace.planning.errors import PlanError

LLAMA_8B = 8_030_261_248
FITTED = Efficiency(0.8, 0.7, 0.001, 0.4, 0.05, "H100, vLLM 0.32.0, m, ±5 %", 10e-6)


def made(**fields: object) -> Calibration:
    known: dict[str, object] = {
        "accelerator": "H100", "engine": "0.32.0", "model": "m", "parameters": LLAMA_8B, "tensor": 1,
        "run": "run.jsonl", "requests": 300, "fitted": "2026-08-01", "efficiency": FITTED,
    }  # fmt: skip
    return msgspec.convert(known | fields, Calibration)


def named(name: str, **fields: object) -> Calibration:
    return made(efficiency=replace(FITTED, label=name), **fields)


def found(folder: Path, *known: Calibration, deployment: str = "") -> Efficiency:
    subject = about(folder, deployment=deployment)
    return replace(subject, calibrations=Calibrations(folder / "x.json", known)).efficiency


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert Calibrations.beside(tmp_path / "fleet.yaml").known == ()
    assert about(tmp_path).efficiency is UNCALIBRATED


def test_what_is_written_is_read_and_used_by_plans(tmp_path: Path) -> None:
    one, two = made(), made(accelerator="L4")
    kept = Calibrations.beside(tmp_path / "fleet.yaml").learned(one).learned(two)
    kept.write()
    assert kept.path == tmp_path / "fleet.calibration.json"
    assert Calibrations.beside(tmp_path / "fleet.yaml").known == (one, two)
    assert about(tmp_path).efficiency.bandwidth == FITTED.bandwidth
    assert kept.path.read_text().count("\n") > 20  # for a review: a field a line


def test_a_newer_run_of_the_same_takes_the_place_of_the_older(tmp_path: Path) -> None:
    kept = Calibrations(tmp_path / "x").learned(made()).learned(made(tensor=2))
    newer = made(run="second.jsonl", fitted="2026-09-01")
    assert kept.learned(newer).known == (made(tensor=2), newer)


@pytest.mark.parametrize("content", ["", "{}", "[{}]", "[", '[{"accelerator": 3}]', "\x00"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "fleet.calibration.json"
    file.write_text(content)
    with pytest.raises(PlanError) as caught:
        Calibrations.beside(tmp_path / "fleet.yaml")
    assert str(caught.value).startswith(f"{file}: ")
    assert "calibrate again" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"bandwidth": 0.0},
        {"compute": -1.0},
        {"link": 0.0},
        {"overhead": -0.1},
        {"per_sequence": -1e-6},
        {"error": -0.1},
    ],
)
def test_figures_that_cannot_be_are_named(tmp_path: Path, change: dict[str, float]) -> None:
    (name,) = change
    Calibrations(
        tmp_path / "fleet.calibration.json", (made(efficiency=replace(FITTED, **change)),)
    ).write()
    with pytest.raises(
        PlanError, match=rf"fleet\.calibration\.json: {name} of H100, vLLM 0\.32\.0, m"
    ):
        about(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="nowhere"):
        Calibrations(tmp_path / "nowhere" / "x.json", (made(),)).write()


def test_another_accelerator_says_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, made(accelerator="H200")) is UNCALIBRATED


def test_the_same_is_preferred_and_a_run_says_less_of_others_than_of_itself(tmp_path: Path) -> None:
    others = (
        named("model", model="other", parameters=1),
        named("version", engine="0.19.0"),
        named("layout", tensor=2),
    )
    same = found(tmp_path, *others, named("same", fitted="2020-01-01"))
    assert (same.error, same.label) == (0.2, "same on that run, ±20% on others")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "mixtral", "parameters": 1}, "H100, but of mixtral: ±25%"),
        ({"engine": "0.19.0"}, "H100, but of vLLM 0.19.0: ±25%"),
        ({"engine": "sglang 0.5.23"}, "H100, but of sglang 0.5.23: ±25%"),
        ({"tensor": 4}, "H100, but of TP4: ±25%"),
        ({"tensor": 4, "engine": "0.19.0"}, "H100, but of TP4 and vLLM 0.19.0: ±25%"),
    ],
)
def test_what_was_measured_on_something_else_is_less_sure(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    one = found(tmp_path, named("H100", **change))
    assert (one.error, one.label) == (0.25, words)
    assert (one.bandwidth, one.compute) == (0.8, 0.7)


def test_an_error_is_never_made_smaller(tmp_path: Path) -> None:
    rough = replace(FITTED, error=0.4, label="rough")
    assert found(tmp_path, made(tensor=2, efficiency=rough)).error == 0.4
    assert found(tmp_path, made(efficiency=rough)).error == 0.4


def test_fewer_differences_are_nearer_and_the_newest_of_equals_counts(tmp_path: Path) -> None:
    far = named("far", tensor=2, engine="0.19.0", fitted="2026-12-01")
    old = named("old", tensor=2, fitted="2026-01-01")
    new = named("new", engine="0.19.0", fitted="2026-06-01")
    for order in ((far, old, new), (new, old, far)):
        assert found(tmp_path, *order).label.startswith("new, but of vLLM 0.19.0")


def test_the_layout_that_is_planned_counts(tmp_path: Path) -> None:
    both = (named("one"), named("two", tensor=2))
    assert found(tmp_path, *both, deployment="tensor_parallel: 2").label.startswith("two on that")
    setup = about(tmp_path).setup
    known = Calibrations(tmp_path / "x", both)
    four = known.find(replace(setup, layout=Layout(4)), "0.32.0")
    assert four is not None
    assert four.error == 0.25


def test_a_choice_gets_the_nearest_of_each_accelerator(tmp_path: Path) -> None:
    subject = about(tmp_path)
    known = Calibrations(
        tmp_path / "x",
        (
            named("h"),
            named("l", accelerator="L4", engine="0.19.0"),
            named("x", tensor=2, model="o", parameters=2),
        ),
    )
    everywhere = known.everywhere(subject.architecture, "0.32.0")
    assert {name: one.label for name, one in everywhere.items()} == {
        "H100": "h on that run, ±20% on others",
        "L4": "l, but of vLLM 0.19.0: ±25%",
    }
