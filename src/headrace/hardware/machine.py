"""What this machine offers to replicas: cores and memory, as far as affinity and cgroups allow.

Containers see the host's numbers in /proc; the cgroup files (version 2 or 1) say what they really
get. `headrace.local` compares this with what a fleet needs before it starts anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
_UNLIMITED = 2**60
"""cgroup v1 writes "no limit" as a number close to 2**63."""


@dataclass(frozen=True)
class Machine:
    """Cores by number, of which a cgroup lets `core_quota` run at once; memory in bytes."""

    cores: tuple[int, ...]
    core_quota: float
    memory_total: int
    memory_available: int


def read_machine(root: Path = _ROOT, own: Path = _SELF) -> Machine:
    """Read cores and memory of this machine; `root` and `own` are its cgroup files."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    memory = psutil.virtual_memory()
    groups = list(_groups(root, own))
    limits = [room for group in groups if (room := _memory(group)) is not None]
    return Machine(
        cores=cores,
        core_quota=min([float(len(cores)), *(q for g in groups if (q := _quota(g)) is not None)]),
        memory_total=min([memory.total, *(limit for limit, _ in limits)]),
        memory_available=min([memory.available, *(limit - used for limit, used in limits)]),
    )


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of our cgroups and of all above them: any of them may carry a limit."""
    for line in _text(own).splitlines():
        controllers, path = line.split(":", 2)[1:]
        top = root / controllers if controllers else root
        inside = PurePosixPath(path.lstrip("/"))
        yield from (top / part for part in (inside, *inside.parents))


def _memory(group: Path) -> tuple[int, int] | None:
    limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
    if limit is None or limit >= _UNLIMITED:
        return None
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
    return limit, max(0, min(limit, used - _reclaimable(group)))


def _reclaimable(group: Path) -> int:
    """Return bytes of page cache that the kernel gives back when memory is wanted."""
    rows = (line.split() for line in _text(group / "memory.stat").splitlines())
    stat = {row[0]: int(row[1]) for row in rows if len(row) == 2}  # noqa: PLR2004 - "name value"
    return stat.get("total_inactive_file", stat.get("inactive_file", 0))


def _quota(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _text(group / "cpu.cfs_quota_us").strip()
        period = _text(group / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # not there, or not for us: then it says nothing
        return ""
