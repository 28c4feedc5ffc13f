"""Who uses this machine's cores: the fleet's processes, others, nobody.

Two snapshots make an average. Linux only: the time for which a thread could have run and got no
core is the second number of its `schedstat`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil

from headrace.diagnosis.observation import Machine

_NANO = 1e-9
_MOST_NAMES = 5


@dataclass(frozen=True)
class Snapshot:
    """At one moment: CPU seconds by process; of some, how long they ran and waited for a core.

    `names` are of the processes, `below` has the processes of each pid that was asked for, itself
    included; `system` has busy, idle and stolen CPU seconds of the cores that we may use.
    """

    at: float
    used: Mapping[int, float]
    names: Mapping[int, str]
    below: Mapping[int, frozenset[int]]
    scheduled: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    system: tuple[float, float, float] = (0.0, 0.0, 0.0)


def snapshot(roots: Collection[int]) -> Snapshot:
    """Return what the machine's processes have used so far, those below `roots` in more detail."""
    used, names, parents = {}, {}, {}
    for process in psutil.process_iter(["pid", "ppid", "name", "cpu_times"]):
        told = process.info
        if told["cpu_times"] is not None:
            used[told["pid"]] = told["cpu_times"].user + told["cpu_times"].system
            names[told["pid"]], parents[told["pid"]] = told["name"] or "?", told["ppid"]
    below = {root: _below(root, parents) for root in roots}
    ours = {pid for some in below.values() for pid in some}
    return Snapshot(
        monotonic(), used, names, below, {pid: _scheduled(pid) for pid in ours}, _system()
    )


def _below(root: int, parents: Mapping[int, int]) -> frozenset[int]:
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return frozenset(found)


def _scheduled(pid: int) -> tuple[float, float]:
    """Return for how long a process's threads have run, and have waited for a core."""
    run = wait = 0.0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            some, other = file.read_text(encoding="ascii").split()[:2]
        except (OSError, ValueError):  # ended meanwhile, or a kernel without
            continue
        run, wait = run + int(some) * _NANO, wait + int(other) * _NANO
    return run, wait


def _system() -> tuple[float, float, float]:
    """Return busy, idle and stolen seconds of the cores that we may use."""
    ours = os.sched_getaffinity(0)
    busy = idle = stolen = 0.0
    for number, times in enumerate(psutil.cpu_times(percpu=True)):
        if number in ours:
            stolen += times.steal
            idle += times.idle + times.iowait
            busy += sum((times.user, times.nice, times.system, times.irq, times.softirq))
    return busy, idle, stolen


def machine(first: Snapshot, last: Snapshot, fleet: Collection[int]) -> Machine:
    """Return the machine's average between two snapshots; `fleet` are roots of our processes."""
    seconds = max(last.at - first.at, 1e-9)
    ours = {pid for one in (first, last) for root in fleet for pid in one.below.get(root, ())}
    ours.add(os.getpid())
    grown = {pid: max(0.0, now - first.used.get(pid, 0.0)) for pid, now in last.used.items()}
    mine = sum(some for pid, some in grown.items() if pid in ours)
    busy, idle, stolen = (new - old for new, old in zip(last.system, first.system, strict=True))
    theirs = {pid: some / seconds for pid, some in grown.items() if pid not in ours}
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        others=max(0.0, busy - mine) / seconds,
        idle=idle / seconds,
        stolen=stolen / seconds,
        by=_by_name(theirs, last.names),
    )


def _by_name(cores: Mapping[int, float], names: Mapping[int, str]) -> dict[str, float]:
    """Return the busiest by name, processes of one name together."""
    summed: dict[str, float] = {}
    for pid, some in cores.items():
        summed[names[pid]] = summed.get(names[pid], 0.0) + some
    busiest = sorted(summed.items(), key=lambda item: -item[1])
    return dict(busiest[:_MOST_NAMES])


def cores_used(first: Snapshot, last: Snapshot, root: int) -> float | None:
    """Return how many cores a process and those below it used; None: it was not there."""
    pids = last.below.get(root, frozenset()) & last.used.keys()
    if not pids:
        return None
    seconds = max(last.at - first.at, 1e-9)
    return sum(max(0.0, last.used[pid] - first.used.get(pid, 0.0)) for pid in pids) / seconds


def starved(first: Snapshot, last: Snapshot, root: int) -> float | None:
    """Return the share (0 to 1) of the time it could have run in which it got no core."""
    run = wait = 0.0
    for pid in last.below.get(root, frozenset()) & last.scheduled.keys():
        before = first.scheduled.get(pid, (0.0, 0.0))
        run += max(0.0, last.scheduled[pid][0] - before[0])
        wait += max(0.0, last.scheduled[pid][1] - before[1])
    return wait / (run + wait) if run + wait > 0 else None
