"""What the cores of this machine reach, measured: memory bandwidth and matrix multiplication.

Data sheets say little about a CPU in a container: the memory is shared, the cores are a share. So
both figures are measured, with as many threads as cores, in about a second; whoever asks keeps
them, since a plan asks often. They are what numpy reached just then, not a promise: neighbours
make them smaller, and an engine with better kernels gets more out of the same cores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from headrace.hardware.accelerator import Accelerator, Link
from headrace.hardware.machine import Machine, read_machine

SMALLEST = 64 * 2**20
"""Bytes of an array, at least: more than most last-level caches."""
LARGEST = 512 * 2**20
_WIDTH = 512
"""Rows and columns of the matrices: a try takes a few milliseconds, so that one is undisturbed."""
_WIDE = 2048
"""Tried too where the narrow ones take no time: they are over before many cores have begun."""
_QUICK = 0.002
"""Seconds; wide ones then take at most 64 times that."""
_NOTES = (
    "bandwidth: the better of numpy's copy and add over arrays larger than the caches",
    "compute: numpy's matrix multiplication in fp32",
    (
        "numpy has no bf16, so the figure of fp32 stands for it: at least that where the CPU"
        " multiplies bf16 itself (AMX, AVX512-BF16), less where it must convert"
    ),
)
_CPU = Path("/sys/devices/system/cpu")
_CPUINFO = Path("/proc/cpuinfo")


def measure_cpu(seconds: float = 1.0, machine: Machine | None = None) -> Accelerator:
    """Measure this machine's CPU for about `seconds`; `memory` is all that we may use of it."""
    machine = machine or read_machine()
    threads = max(1, math.floor(min(len(machine.cores), machine.core_quota)))
    compute = measure_compute(seconds / 2)
    return Accelerator(
        name=f"CPU ({cpu_model()}, {threads} core{'s' if threads > 1 else ''})",
        memory=machine.memory_total,
        bandwidth=measure_bandwidth(seconds / 2, threads, array_bytes(machine, cache_bytes(_CPU))),
        compute={"fp32": compute, "bf16": compute},
        link=Link("none: one CPU is one accelerator", bandwidth=1e9),
        network=Link("Ethernet 10 Gb/s (assumed)", bandwidth=1.25e9, latency=5e-5),
        per_node=1,
        sources=("measured on this machine",),
        names=("cpu",),
        kind="cpu",
        notes=_NOTES,
    )


def measure_bandwidth(seconds: float, threads: int, size: int) -> float:
    """Return bytes a second of the better of copy and add, with arrays of `size` bytes.

    As STREAM counts them: what a program reads and writes, not what caches fetch besides.
    """
    count = size // 4
    one, two, to = (np.full(count, 1.0, np.float32) for _ in range(3))
    parts = [slice(count * n // threads, count * (n + 1) // threads) for n in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            _all(pool, parts, lambda part: np.copyto(to[part], one[part]))

        def add() -> None:
            _all(pool, parts, lambda part: np.add(one[part], two[part], out=to[part]))

        return max(2 * size / _best(copy, seconds / 2), 3 * size / _best(add, seconds / 2))


def measure_compute(seconds: float) -> float:
    """Return operations a second of an fp32 matrix multiplication, with numpy's own threads."""
    took = _multiply(_WIDTH, seconds / 2)
    reached = 2 * _WIDTH**3 / took
    if took < _QUICK:
        reached = max(reached, 2 * _WIDE**3 / _multiply(_WIDE, seconds / 2))
    return reached


def array_bytes(machine: Machine, caches: int) -> int:
    """Return how large an array must be to be read from memory, and may be to leave some."""
    wanted = max(SMALLEST, min(2 * caches, LARGEST))
    return max(2**20, min(wanted, machine.memory_available // 8))


def cache_bytes(root: Path) -> int:
    """Return bytes of all last-level caches; 0 if the system does not say."""
    caches: dict[str, int] = {}
    for folder in root.glob("cpu[0-9]*/cache/index3"):
        try:
            size = (folder / "size").read_text(encoding="ascii").strip().removesuffix("K")
            shared = (folder / "shared_cpu_list").read_text(encoding="ascii")
        except OSError:  # a core that went offline
            continue
        if size.isdigit():
            caches[shared] = int(size) * 1024
    return sum(caches.values())


def _multiply(width: int, seconds: float) -> float:
    left, right = (np.full((width, width), 0.5, np.float32) for _ in range(2))
    out = np.empty_like(left)
    return _best(lambda: np.matmul(left, right, out=out), seconds)


def _all(pool: ThreadPoolExecutor, parts: Sequence[slice], work: Callable[[slice], object]) -> None:
    for _ in pool.map(work, parts):
        pass


def _best(work: Callable[[], object], seconds: float) -> float:
    """Return the seconds of the quickest of as many tries as fit; the first only warms up."""
    work()
    end = time.perf_counter() + seconds
    best = math.inf
    while best == math.inf or time.perf_counter() < end:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Return the CPU's name as the system has it, or `unknown`."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")
