"""`headrace down`: drain a fleet and stop it."""

from __future__ import annotations

import asyncio

import typer

from headrace.cli.running import FleetArgument, find_fleet


def down(fleet: FleetArgument = None) -> None:
    """Finish what is in flight, stop everything, and return when nothing is left."""
    from headrace.local import client  # noqa: PLC0415 - the other verbs start faster

    asyncio.run(client.down(find_fleet(fleet)))
    typer.echo("down: nothing is left")
