"""`headrace gateway`: the process that clients talk to."""

from __future__ import annotations

import asyncio

import typer

from headrace.cli.running import FleetArgument, find_fleet

app = typer.Typer(help="The process that clients talk to.", no_args_is_help=True)


@app.callback()
def gateway() -> None:
    """Say that there are verbs below this one."""


@app.command()
def replace(fleet: FleetArgument = None) -> None:
    """Let a new gateway process serve; the old one finishes its streams and ends."""
    from headrace.local import client  # noqa: PLC0415 - the other verbs start faster

    done = asyncio.run(client.replace_gateway(find_fleet(fleet)))
    before = f"process {done.old}" if done.old else "none"
    typer.echo(f"gateway: process {done.new} serves, before it {before}")
    if done.requests:
        has = f"{done.requests} in flight"
        typer.echo(f"gateway: process {done.old} finishes what it has ({has}) and ends")
