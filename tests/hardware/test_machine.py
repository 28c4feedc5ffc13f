"""Cores and memory as affinity and cgroups allow; the cgroup files are written by the tests."""

import os
from pathlib import Path

import psutil
import pytest

from headrace.hardware.machine import read_machine

MIB = 2**20


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def own(folder: Path, text: str) -> Path:
    file = folder / "self"
    file.write_text(text)
    return file


def test_without_cgroups_the_machine_is_what_the_system_says(tmp_path: Path) -> None:
    machine = read_machine(tmp_path, tmp_path / "none")
    assert machine.cores == tuple(sorted(os.sched_getaffinity(0)))
    assert machine.core_quota == len(machine.cores)
    assert machine.memory_total == psutil.virtual_memory().total
    assert 0 < machine.memory_available <= machine.memory_total


def test_version_2_limits(tmp_path: Path) -> None:
    write(
        tmp_path / "pod" / "box",
        memory__max=f"{512 * MIB}\n",
        memory__current=f"{200 * MIB}\n",
        memory__stat=f"anon 5\ninactive_file {50 * MIB}\n",
        cpu__max="50000 100000\n",
    )
    machine = read_machine(tmp_path, own(tmp_path, "0::/pod/box\n"))
    assert machine.memory_total == 512 * MIB
    assert machine.memory_available == (512 - 200 + 50) * MIB
    assert machine.core_quota == 0.5


def test_a_limit_above_ours_counts(tmp_path: Path) -> None:
    write(tmp_path / "pod", memory__max=f"{64 * MIB}\n", memory__current="0\n")
    write(tmp_path / "pod" / "box", memory__max="max\n", cpu__max="max 100000\n")
    machine = read_machine(tmp_path, own(tmp_path, "0::/pod/box\n"))
    assert machine.memory_total == 64 * MIB
    assert machine.core_quota == len(machine.cores)


def test_version_1_limits(tmp_path: Path) -> None:
    write(
        tmp_path / "memory" / "docker",
        memory__limit_in_bytes=f"{256 * MIB}\n",
        memory__usage_in_bytes=f"{100 * MIB}\n",
        memory__stat=f"total_inactive_file {20 * MIB}\n",
    )
    cpu = tmp_path / "cpu,cpuacct" / "docker"
    write(cpu, cpu__cfs_quota_us="25000\n", cpu__cfs_period_us="100000\n")
    text = "4:memory:/docker\n3:cpu,cpuacct:/docker\n1:name=systemd:/\n"
    machine = read_machine(tmp_path, own(tmp_path, text))
    assert machine.memory_total == 256 * MIB
    assert machine.memory_available == (256 - 100 + 20) * MIB
    assert machine.core_quota == 0.25


@pytest.mark.parametrize("text", ["9223372036854771712\n", "max\n", "", "nonsense\n"])
def test_no_limit_in_any_spelling(tmp_path: Path, text: str) -> None:
    write(tmp_path / "memory", memory__limit_in_bytes=text, memory__max=text)
    write(tmp_path / "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    machine = read_machine(tmp_path, own(tmp_path, "4:memory:/\n3:cpu:/\n0::/\n"))
    assert machine.memory_total == psutil.virtual_memory().total
    assert machine.core_quota == len(machine.cores)


def test_nothing_is_left_where_more_is_used_than_allowed(tmp_path: Path) -> None:
    write(tmp_path, memory__max=f"{10 * MIB}\n", memory__current=f"{30 * MIB}\n")
    assert read_machine(tmp_path, own(tmp_path, "0::/\n")).memory_available == 0
