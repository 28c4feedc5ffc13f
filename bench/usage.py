"""What a process and its children cost: CPU seconds by the kernel's clock, resident memory."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """Of a process tree at one moment: process ids, CPU seconds (user and system), bytes."""

    pids: frozenset[int]
    cpu: float
    rss: int


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that all threads of a process have used; OSError if it is gone.

    This is `clock_getcpuclockid(3)`, which counts nanoseconds where `/proc/PID/stat` counts
    hundredths of a second. Its number is made of the process id as in glibc (CPUCLOCK_SCHED = 2).
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident(pids: Iterable[int]) -> int:
    """Return the resident bytes of these processes; psutil.NoSuchProcess if one is gone."""
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in pids)


def usage(pid: int) -> Usage:
    """Return what a process and its descendants use; psutil.NoSuchProcess if it is gone."""
    top = psutil.Process(pid)
    pids = frozenset({pid, *(child.pid for child in top.children(recursive=True))})
    return Usage(pids, sum(map(cpu_seconds, pids)), resident(pids))
