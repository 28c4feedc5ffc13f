"""Which running fleet a verb means: the one of the file, or the only one there is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from headrace.fleet.load import FleetFile, load_fleet
from headrace.local.errors import LocalError
from headrace.local.state import Holder, StateDir, running_fleets, state_dir
from headrace.view.status import FleetStatus

FleetArgument = Annotated[
    Path | None, typer.Argument(help="The fleet file; default: the only fleet that is up.")
]
FleetOption = Annotated[
    Path | None,
    typer.Option("--fleet", "-f", help="The fleet file; default: the only fleet that is up."),
]


def find_fleet(file: Path | None) -> StateDir:
    """Return the state of the fleet that is meant; LocalError if that is none or unclear.

    A fleet that was rolled out to another file is found by either.
    """
    running = list(running_fleets())
    if file is not None:
        served = (state for state, who in running if Path(who.file) == file.absolute())
        return next(served, None) or state_dir(load_fleet(file).fleet.fleet, file)
    if not running:
        raise LocalError("no fleet is up; start one with `headrace up FILE`")
    if len(running) > 1:
        raise LocalError(f"{len(running)} fleets are up; name the file of one: {_files(running)}")
    return running[0][0]


def served_file(status: FleetStatus) -> FleetFile:
    """Return the file that a running fleet serves; LocalError if it says something else by now."""
    file = load_fleet(Path(status.file))
    if status.digest not in {"", file.digest}:
        raise LocalError(
            f"{status.file} was edited since the fleet read it, so nobody knows what would be"
            " measured; `headrace reload` or `headrace rollout` it first, or measure the address"
            f" (--url {status.address} --model NAME)"
        )
    return file


def find_fleet_named(file: FleetFile) -> StateDir:
    """Return the state of the running fleet with the file's name, whatever file it serves now."""
    name = file.fleet.fleet
    named = [(state, who) for state, who in running_fleets() if who.fleet == name]
    if not named:
        raise LocalError(f"no fleet '{name}' is up; start it with `headrace up {file.path}`")
    if len(named) == 1:
        return named[0][0]
    same = state_dir(name, file.path)
    if same in (state for state, _ in named):
        return same
    raise LocalError(
        f"{len(named)} fleets named '{name}' are up, from {_files(named)}; edit the file of the "
        "one that is meant and give that"
    )


def _files(running: Iterable[tuple[StateDir, Holder]]) -> str:
    return ", ".join(who.file for _, who in running)
