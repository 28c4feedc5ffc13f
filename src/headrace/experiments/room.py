"""Whether this machine has room for a copy beside what runs on it already."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from headrace.diagnosis.words import count
from headrace.experiments.errors import ExperimentError
from headrace.fleet.load import FleetFile, load_fleet
from headrace.fleet.problems import FleetError
from headrace.hardware.machine import Machine, read_machine
from headrace.local.gpus import read_gpus
from headrace.local.prepare import engine_findings, locked_sizes, machine_findings
from headrace.local.state import running_fleets

_CHOSEN = "CUDA_VISIBLE_DEVICES"


def check_kind(file: FleetFile, deployment: str) -> None:
    """Raise ExperimentError if no copy can run on a machine of this kind, whatever is free.

    Asked before weights are fetched, which may be many gigabytes.
    """
    own = file.fleet.deployments[deployment]
    gpus = own.accelerators if file.fleet.hardware[own.hardware].kind == "gpu" else 0
    lacking = [text for path, text in engine_findings(file) if path[1] == deployment]
    if gpus and gpus > (here := len(read_gpus())):
        lacking.append(f"a copy needs {count(gpus, 'GPU')}; this machine has {here}")
    if lacking:
        raise ExperimentError(f"{deployment} cannot be started here: {'; '.join(lacking)}")


def check_room(copy: FleetFile) -> None:
    """Raise ExperimentError, with figures and what to do, if the copy does not fit now."""
    others, machine = running(), read_machine()
    short = [text for _, text in machine_findings(copy, machine, read_gpus(), locked_sizes(copy))]
    if short:
        raise ExperimentError(refusal(short, machine, list(others)))
    taken = gpus_taken(kinds_of(copy), others, os.environ)
    if taken:
        raise ExperimentError(taken)


def running() -> dict[str, Collection[str]]:
    """Return the fleets that are up on this machine: files, and the kinds of their hardware."""
    return {who.file: _kinds(Path(who.file)) for _, who in running_fleets()}


def busy(others: Mapping[str, Collection[str]]) -> list[str]:
    """Return those of them that compute here: engine twins do not."""
    return [file for file, kinds in others.items() if set(kinds) - {"emulated"}]


def kinds_of(file: FleetFile) -> Collection[str]:
    """Return the kinds of hardware that the deployments of a file run on."""
    fleet = file.fleet
    return {fleet.hardware[one.hardware].kind for one in fleet.deployments.values()}


def _kinds(path: Path) -> Collection[str]:
    try:
        return kinds_of(load_fleet(path))
    except FleetError:  # edited since it was started
        return {"cpu"}


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


def gpus_taken(
    kinds: Collection[str], others: Mapping[str, Collection[str]], environ: Mapping[str, str]
) -> str:
    """Return why a copy would get GPUs that a running fleet uses; "" if it would not.

    Replicas take the first GPUs that they see, so somebody has to say which ones are free.
    """
    users = [file for file, theirs in others.items() if "gpu" in theirs]
    if "gpu" not in kinds or not users or _CHOSEN in environ:
        return ""
    return (
        f"{users[0]} is up on this machine's GPUs, and a copy would take the first of them; name"
        f" free ones in {_CHOSEN}, or run `headrace down {users[0]}`"
    )
