"""`headrace status`: what the fleet does now, and why it has that many replicas."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from headrace.cli.running import FleetArgument, find_fleet


def status(
    fleet: FleetArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show replicas, queues, and the reason of the last scaling decision."""
    from headrace.local import client  # noqa: PLC0415 - the other verbs start faster
    from headrace.view.display import remarks, table  # noqa: PLC0415 - as above

    found = asyncio.run(client.status(find_fleet(fleet)))
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    Console().print(table(found))
    for line in remarks(found):
        typer.echo(line)
    for deployment in found.deployments:
        if deployment.why:
            typer.echo(f"{deployment.name}: {deployment.why}")
        if deployment.last_words:
            typer.echo(f"{deployment.name}: the last replica that died: {deployment.last_words}")
