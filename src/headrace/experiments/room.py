"""Whether this machine has room for a copy beside what runs on it already."""

from __future__ import annotations

from headrace.experiments.errors import ExperimentError
from headrace.fleet.load import FleetFile
from headrace.hardware.machine import Machine, read_machine
from headrace.local.gpus import read_gpus
from headrace.local.prepare import locked_sizes, machine_findings
from headrace.local.state import running_fleets


def check_room(copy: FleetFile) -> None:
    """Raise ExperimentError, with figures and what to do, if the copy does not fit now."""
    machine = read_machine()
    short = [text for _, text in machine_findings(copy, machine, read_gpus(), locked_sizes(copy))]
    if short:
        raise ExperimentError(refusal(short, machine, running()))


def running() -> list[str]:
    """Return the fleets that are up on this machine, by the files that they serve."""
    return [who.file for _, who in running_fleets()]


def refusal(short: list[str], machine: Machine, others: list[str]) -> str:
    """Return why there is no room, and how to make some."""
    total, free = machine.memory_total / 1e9, machine.memory_available / 1e9
    beside = f" beside {', '.join(others)}" if others else ""
    cure = (
        f"`headrace down {others[0]}` frees what that fleet holds, or do this on another machine"
        if others
        else "free memory, lower kv_cache in a copy of the file, or do this on a larger machine"
    )
    return (
        f"there is no room for a copy{beside}: {'; '.join(short)} (this machine has"
        f" {total:.1f} GB, {free:.1f} GB are free); {cure}"
    )
