"""Which running fleet a verb means: the one of the file, or the only one there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.fleet.load import load_fleet
from headrace.local.errors import LocalError
from headrace.local.state import StateDir, running_fleets, state_dir

FleetArgument = Annotated[
    Path | None, typer.Argument(help="The fleet file; default: the only fleet that is up.")
]
FleetOption = Annotated[
    Path | None,
    typer.Option("--fleet", "-f", help="The fleet file; default: the only fleet that is up."),
]


def find_fleet(file: Path | None) -> StateDir:
    """Return the state of the fleet that is meant; LocalError if that is none or unclear."""
    if file is not None:
        return state_dir(load_fleet(file).fleet.fleet, file)
    running = list(running_fleets())
    if not running:
        raise LocalError("no fleet is up; start one with `headrace up FILE`")
    if len(running) > 1:
        names = ", ".join(holder.file for _, holder in running)
        raise LocalError(f"{len(running)} fleets are up; name the file of one: {names}")
    return running[0][0]
