"""`headrace scale`: fix a deployment's replica count, or give it back to its rules."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from headrace.cli.running import FleetOption, find_fleet


def scale(
    deployment: Annotated[str, typer.Argument(help="The deployment's name.")],
    replicas: Annotated[str, typer.Argument(help="A number, or auto.")],
    fleet: FleetOption = None,
) -> None:
    """Pin a deployment at a number of replicas; `auto` lets its rules decide again."""
    from headrace.local import client  # noqa: PLC0415 - the other verbs start faster

    if replicas != "auto" and not replicas.isdecimal():
        raise typer.BadParameter(f"'{replicas}' is neither a number nor auto")
    count = None if replicas == "auto" else int(replicas)
    asyncio.run(client.scale(find_fleet(fleet), deployment, count))
    typer.echo(f"{deployment}: {'by its rules again' if count is None else f'pinned at {count}'}")
