"""`headrace reload`: apply an edited file to a running fleet at once; no replica is touched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.files import load_checked
from headrace.cli.running import FleetOption, find_fleet, find_fleet_named
from headrace.local.errors import LocalError
from headrace.local.state import StateDir, holder


def reload(
    file: Annotated[
        Path | None, typer.Argument(help="The edited file; default: the one that is served.")
    ] = None,
    fleet: FleetOption = None,
) -> None:
    """Apply changed routes, limits, scaling, prices and keys to a running fleet, or nothing."""
    from headrace.local import rollout_client  # noqa: PLC0415 - the other verbs start faster

    if file is not None and fleet is not None:
        raise typer.BadParameter("--fleet: FILE itself says which fleet is meant")
    if file is None:
        state = find_fleet(fleet)
        path = _served(state)
        load_checked(path)
    else:
        path = file.absolute()
        state = find_fleet_named(load_checked(file))
    lines = asyncio.run(rollout_client.reload(state, path))
    for line in lines or ("nothing to do: the fleet already serves this",):
        typer.echo(line)


def _served(state: StateDir) -> Path:
    who = holder(state)
    if who is None:
        raise LocalError("the fleet is not up; start it with `headrace up FILE`")
    return Path(who.file)
