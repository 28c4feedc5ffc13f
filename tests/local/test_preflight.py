from dataclasses import replace
from pathlib import Path

import pytest
from fleet_kit import write_fleet
from hypothesis import given
from hypothesis import strategies as st

from headrace.fleet.load import load_fleet
from headrace.fleet.types import Deployment
from headrace.hardware.machine import Machine
from headrace.local import gpus, prepare
from headrace.local.blueprint import Blueprint, cores_of, devices_of
from headrace.local.preflight import Need, device_findings, memory_findings

GIB = 2**30


def test_enough_memory_is_no_finding() -> None:
    assert list(memory_findings([Need("chat", 3 * GIB, 2)], 6 * GIB)) == []


def test_too_little_memory_says_what_is_needed_what_there_is_and_what_to_do() -> None:
    ((path, message),) = memory_findings([Need("chat", 3 * GIB, 2)], 5 * GIB)
    assert path == ("deployments", "chat", "scaling", "max")
    assert message == (
        "2 replicas of 3.0 GiB do not fit, as 5.0 GiB of memory are available; "
        "set max to 1, or lower kv_cache"
    )
    ((_, message),) = memory_findings([Need("chat", 3 * GIB, 2)], 2 * GIB)
    assert "lower kv_cache, or free memory" in message


NEEDS = st.lists(st.builds(Need, st.just("d"), st.integers(1, 100), st.integers(1, 9)), min_size=1)


@given(NEEDS, st.integers(0, 1000))
def test_a_shortage_is_always_told_and_only_then(needs: list[Need], available: int) -> None:
    total = sum(need.each * need.replicas for need in needs)
    assert bool(list(memory_findings(needs, available))) is (total > available)


def test_gpus_must_be_enough_for_all_replicas() -> None:
    assert list(device_findings("chat", 2, ("0", "1"))) == []
    ((_, message),) = device_findings("chat", 4, ("0", "1"))
    assert message == "needs 4 GPUs for all its replicas; this machine has 2"


def test_the_environment_names_the_gpus() -> None:
    assert gpus.read_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-abc"}) == ("2", "GPU-abc")
    assert gpus.read_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()


def test_a_fleet_is_held_against_the_machine(tmp_path: Path) -> None:
    file = write_fleet(tmp_path, max=3)
    small = Machine(cores=(0, 1), core_quota=2, memory_total=8 * GIB, memory_available=GIB)
    ((path, message),) = prepare.machine_findings(file, small, (), {"small": GIB})
    assert path == ("deployments", "chat", "scaling", "max")
    assert message.startswith("3 replicas of ")
    assert file.problem(path, message).line == 10


def test_an_engine_that_cannot_be_installed_needs_a_python(tmp_path: Path) -> None:
    path = write_fleet(tmp_path).path
    text = path.read_text()
    engine = "engine: {version: 0.9.2, python: /no/python}"
    path.write_text(text.replace("hardware: here\n", f"hardware: here\n    {engine}\n"))
    ((_, message),) = prepare.engine_findings(load_fleet(path))
    assert message.startswith("there is no file /no/python")
    path.write_text(
        text.replace("hardware: here\n", "hardware: here\n    engine: {version: 9.9.0}\n")
    )
    ((_, message),) = prepare.engine_findings(load_fleet(path))
    assert message == "Headrace cannot install vllm 9.9.0 on a cpu; name a Python that has it"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, False),
        ({"runner": "pooling"}, True),
        ({"convert": "embed"}, True),
        ({"task": "embed"}, True),
        ({"runner": "generate"}, False),
    ],
)
def test_a_deployment_that_only_embeds_says_so_in_its_flags(
    flags: dict[str, str], *, expected: bool
) -> None:
    data = {"model": "m", "hardware": "h", "engine": {"flags": flags}}
    assert prepare.embeds(Deployment.model_validate(data)) is expected


def test_replicas_share_cores_and_gpus_by_turns(tmp_path: Path) -> None:
    file = write_fleet(tmp_path)
    machine = Machine((0, 1, 2, 3), 4, GIB, GIB)
    (made,) = prepare.blueprints(
        file, {"small": tmp_path}, {"chat": Path("/python")}, machine, ("0", "1")
    )
    assert made.served_names == ("chat",)
    assert cores_of(made, 1) == cores_of(made, 2) == (0, 1, 2, 3)
    halves = _with(made, cores_each=2)
    assert [cores_of(halves, slot) for slot in (1, 2, 3)] == [(0, 1), (2, 3), (0, 1)]
    assert devices_of(made, 1) == ()
    gpu = _with(made, devices=("0", "1", "2"))
    assert [devices_of(gpu, slot) for slot in (1, 2, 3)] == [("0",), ("1",), ("2",)]


def _with(made: Blueprint, *, cores_each: int = 0, devices: tuple[str, ...] = ()) -> Blueprint:
    hardware = made.hardware.model_copy(update={"cores": cores_each or None})
    return replace(made, hardware=hardware, devices=devices)
