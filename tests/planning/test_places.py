"""Where replicas run: products by any name, whose price it is, and a CPU that is measured anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plan_kit import cpu

from headrace.fleet.types import Hardware
from headrace.hardware.accelerator import Accelerator
from headrace.planning import places
from headrace.planning.errors import PlanError
from headrace.planning.places import DAY, local_cpu, place_of


def hardware(**fields: object) -> Hardware:
    return Hardware.model_validate({"kind": "gpu", **fields})


@pytest.mark.parametrize(
    "name", ["H100", "h100", "NVIDIA-H100-80GB-HBM3", "nvidia-h100-80gb", "H100 SXM"]
)
def test_a_product_has_many_names(name: str) -> None:
    place = place_of("h", hardware(product=name))
    assert (place.name, place.accelerator.name) == ("h", "H100")
    assert (place.nodes.per_node, place.nodes.count) == (8, 1)


def test_nodes_are_as_the_file_says() -> None:
    place = place_of("h", hardware(product="H100", per_node=4, nodes=3))
    assert (place.nodes.per_node, place.nodes.count) == (4, 3)


def test_a_twin_is_planned_as_its_product() -> None:
    made = Hardware.model_validate({"kind": "emulated", "product": "L4"})
    assert place_of("h", made).accelerator.name == "L4"


@pytest.mark.parametrize(
    ("product", "words"),
    [
        ("H1000", "no accelerator is known as 'H1000'; did you mean H100"),
        ("abacus", "known are A100-40GB"),
        (None, "is not said"),
    ],
)
def test_an_unknown_product_names_its_field_and_what_is_known(
    product: str | None, words: str
) -> None:
    with pytest.raises(PlanError, match=r"^hardware\.h\.product") as caught:
        place_of("h", hardware(product=product))
    assert words in str(caught.value)


def test_whose_price_it_is() -> None:
    own = place_of("h", hardware(product="H100", hourly_price=0.0))
    assert (own.price, own.price_basis) == (0.0, "the file's hourly_price")
    example = place_of("h", hardware(product="H100"))
    assert example.price == 3.95
    assert (
        example.price_basis
        == "no hourly_price in the file; $3.95/h (Modal, serverless, 2026-07-01, an example)"
    )


def test_a_price_that_nobody_knows_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "example_price", lambda accelerator: None)  # noqa: ARG005
    place = place_of("h", hardware(product="H100"))
    assert place.price == 0
    assert "no price: set hourly_price" in place.price_basis


def measuring(
    monkeypatch: pytest.MonkeyPatch, *found: Accelerator, load: float = 0.0
) -> Iterator[Accelerator]:
    """Let measurements give these in turn, at some load; what is left was not asked for."""
    left = iter(found)
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(places, "measure_cpu", lambda machine: next(left))  # noqa: ARG005
    return left


def test_a_cpu_is_measured_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = measuring(monkeypatch, cpu(40e9, 2e11))
    file = tmp_path / "deep" / "cpu.json"
    first = local_cpu(file, now=1000.0)
    assert local_cpu(file, now=1000.0 + DAY - 1) == first
    assert list(left) == []


def test_a_measurement_of_a_busy_machine_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring(monkeypatch, cpu(10e9, 9e11), cpu(40e9, 2e11), cpu(5e9, 1e11))
    file = tmp_path / "cpu.json"
    assert local_cpu(file, now=0.0).bandwidth == 10e9
    better = local_cpu(file, now=DAY)
    assert (better.bandwidth, better.compute) == (40e9, {"fp32": 9e11, "bf16": 9e11})
    assert local_cpu(file, now=2 * DAY) == better  # the third was worse in both


def test_what_was_measured_beside_other_work_is_measured_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = measuring(monkeypatch, cpu(4e9), cpu(40e9), load=999.0)
    file = tmp_path / "cpu.json"
    assert local_cpu(file, now=DAY).bandwidth == 4e9
    assert local_cpu(file, now=DAY + 60).bandwidth == 4e9  # not by each plan
    assert local_cpu(file, now=DAY + 600).bandwidth == 40e9
    assert list(left) == []


def test_a_clock_that_was_set_back_measures_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = measuring(monkeypatch, cpu(), cpu())
    for now in (5000.0, 100.0):
        local_cpu(tmp_path / "cpu.json", now=now)
    assert list(left) == []


def test_another_machine_is_measured_and_owes_nothing_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring(monkeypatch, cpu(40e9), cpu(10e9))
    file = tmp_path / "cpu.json"
    local_cpu(file, now=0.0)
    monkeypatch.setattr(places, "cpu_model", lambda: "another one")
    assert local_cpu(file, now=1.0).bandwidth == 10e9


@pytest.mark.parametrize("content", [b"", b"{", b'{"machine": "x", "accelerator": 3}', b"\xff"])
def test_a_damaged_memory_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    file = tmp_path / "cpu.json"
    file.write_bytes(content)
    measuring(monkeypatch, cpu(40e9))
    assert local_cpu(file, now=0.0).bandwidth == 40e9
    assert local_cpu(file, now=1.0).bandwidth == 40e9  # and kept


def test_where_nothing_can_be_kept_a_plan_still_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    measuring(monkeypatch, cpu(40e9))
    assert local_cpu(tmp_path / "file" / "cpu.json").bandwidth == 40e9


def test_a_cpu_is_a_place_of_one(small_cpu: Accelerator) -> None:
    place = place_of("here", Hardware.model_validate({"kind": "cpu", "hourly_price": 0.1}))
    assert (place.accelerator, place.nodes.per_node, place.price) == (small_cpu, 1, 0.1)
