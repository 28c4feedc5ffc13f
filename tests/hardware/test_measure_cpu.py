"""The CPU's figures are measured: plausible here, and sized by what the machine says it has."""

from pathlib import Path

import pytest

from headrace.hardware import measure_cpu as measuring
from headrace.hardware.machine import Machine

MIB = 2**20


def machine(**given: object) -> Machine:
    fields = {
        "cores": (0,), "core_quota": 1.0, "memory_total": 512 * MIB, "memory_available": 32 * MIB,
    } | given  # fmt: skip
    return Machine(**fields)  # type: ignore[arg-type]


def test_a_cpu_is_an_accelerator_of_its_own_kind() -> None:
    cpu = measuring.measure_cpu(0.02, machine())
    assert cpu.kind == "cpu"
    assert cpu.memory == 512 * MIB
    assert cpu.per_node == 1
    assert cpu.name.endswith("1 core)")
    assert any("numpy has no bf16" in note for note in cpu.notes)
    assert cpu.compute["bf16"] == cpu.compute["fp32"]


def test_the_figures_are_those_of_a_cpu() -> None:
    cpu = measuring.measure_cpu(0.02, machine())
    assert 1e8 < cpu.bandwidth < 1e13
    assert 1e8 < cpu.compute["fp32"] < 1e14


def test_a_quota_below_the_cores_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def measured(seconds: float, threads: int, size: int) -> float:
        used.append(threads)
        return seconds + size

    monkeypatch.setattr(measuring, "measure_bandwidth", measured)
    for quota in (0.5, 2.9, 8.0):
        measuring.measure_cpu(0.01, machine(cores=(0, 1, 2, 3), core_quota=quota))
    assert used == [1, 2, 4]


@pytest.mark.parametrize(
    ("copy_s", "add_s", "mib"),
    [(0.5, 1.0, 16), (2.0, 0.5, 24)],  # a copy of 4 MiB moves 8, an addition 12; the better counts
)
def test_bandwidth_counts_what_is_read_and_written(
    monkeypatch: pytest.MonkeyPatch, copy_s: float, add_s: float, mib: int
) -> None:
    times = iter([copy_s, add_s])
    monkeypatch.setattr(measuring, "_best", lambda *_: next(times))
    assert measuring.measure_bandwidth(1, 1, 4 * MIB) == mib * MIB


def test_a_multiplication_is_two_operations_for_each_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "_best", lambda *_: 0.5)
    assert measuring.measure_compute(1) == 2 * 512**3 / 0.5


def test_many_cores_get_a_larger_matrix_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_multiply", lambda width, _: 0.001 if width == 512 else 0.01)
    assert measuring.measure_compute(1) == pytest.approx(2 * 2048**3 / 0.01)


def test_the_better_matrix_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_multiply", lambda width, _: 0.001 if width == 512 else 1.0)
    assert measuring.measure_compute(1) == pytest.approx(2 * 512**3 / 0.001)


@pytest.mark.parametrize(
    ("caches_mib", "available_mib", "array_mib"),
    [
        (0, 100_000, 64),  # the system does not say
        (32, 100_000, 64),
        (128, 100_000, 256),
        (1152, 100_000, 512),  # no more than that
        (32, 80, 10),  # a small container: an eighth
    ],
)
def test_arrays_are_larger_than_caches(caches_mib: int, available_mib: int, array_mib: int) -> None:
    small = machine(memory_available=available_mib * MIB)
    assert measuring.array_bytes(small, caches_mib * MIB) == array_mib * MIB


def test_caches_are_counted_once_for_the_cores_that_share_them(tmp_path: Path) -> None:
    for core, shared, size in ((0, "0-1", "32768K"), (1, "0-1", "32768K"), (2, "2-3", "16384K")):
        folder = tmp_path / f"cpu{core}" / "cache" / "index3"
        folder.mkdir(parents=True)
        (folder / "size").write_text(f"{size}\n")
        (folder / "shared_cpu_list").write_text(f"{shared}\n")
    (tmp_path / "cpu4" / "cache" / "index3").mkdir(parents=True)
    assert measuring.cache_bytes(tmp_path) == 48 * MIB


def test_a_cpu_without_a_name_is_unknown(tmp_path: Path) -> None:
    assert measuring.cpu_model(tmp_path / "none") == "unknown"
