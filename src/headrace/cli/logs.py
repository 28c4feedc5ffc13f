"""`headrace logs`: what an engine, or the gateway, wrote."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from headrace.cli.running import FleetOption, find_fleet


def logs(
    name: Annotated[str, typer.Argument(help="A deployment, a replica, or gateway.")],
    fleet: FleetOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the end of a log; a deployment means its first replica."""
    asyncio.run(_print(name, fleet, follow=follow))


async def _print(name: str, fleet: FleetOption, *, follow: bool) -> None:
    from headrace.local import client  # noqa: PLC0415 - the other verbs start faster

    state = find_fleet(fleet)
    names = client.log_names(state)
    if name not in names:
        name = next((known for known in names if known.startswith(f"{name}-")), name)
    async for line in client.follow_log(state, name, follow=follow):
        typer.echo(line)
