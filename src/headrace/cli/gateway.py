"""`headrace gateway`: the process that clients talk to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.running import FleetArgument, find_fleet

_API, _ADMIN = "0.0.0.0:8080", "0.0.0.0:8081"

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


@app.command()
def serve(
    file: Annotated[Path, typer.Argument(help="The fleet file; read again when it changes.")],
    *,
    namespace: Annotated[
        str | None,
        typer.Option(envvar="POD_NAMESPACE", help="Where the engines are; default: the fleet's."),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(help="Of the kubeconfig; default: its current one, in a Pod the Pod's own."),
    ] = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="For clients.")] = _API,
    admin: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="For metrics, health and demand.")
    ] = _ADMIN,
    state: Annotated[
        Path, typer.Option(envvar="HEADRACE_STATE", help="Folder for records of requests.")
    ] = Path("/var/lib/headrace"),
    drain: Annotated[
        float | None,
        typer.Option(help="Seconds to finish requests after SIGTERM; default: the longest drain."),
    ] = None,
) -> None:
    """Serve in a cluster: replicas are the Pods of its EndpointSlices that answer rightly."""
    from headrace.kubernetes.kubeconfig import find_config  # noqa: PLC0415 - as above
    from headrace.kubernetes.serve import Place  # noqa: PLC0415 - as above
    from headrace.kubernetes.serve import serve as serving  # noqa: PLC0415 - as above

    serving(file, Place(listen, admin, state, namespace, drain), find_config(context))
