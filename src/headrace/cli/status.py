"""`headrace status`: what the fleet does now, and why it has that many replicas.

A fleet may be up on this machine and in a cluster at once, from the same file; so `--cluster` says
which is meant, instead of a guess.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from headrace.cli.cluster import ContextOption, connected
from headrace.cli.files import load_checked
from headrace.cli.render import NamespaceOption
from headrace.cli.running import FleetArgument, find_fleet

if TYPE_CHECKING:
    from headrace.view.status import FleetStatus


def status(
    fleet: FleetArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="The fleet that `headrace apply` put into a cluster, not the one on this machine:"
            " the same file may be up in both.",
        ),
    ] = False,
    *,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Show replicas, queues, and the reason of the last scaling decision."""
    if not cluster and (namespace or context):
        raise typer.BadParameter("--namespace and --context go with --cluster")
    if cluster:
        if fleet is None:
            raise typer.BadParameter("--cluster needs the fleet file")
        found, notes = asyncio.run(of_cluster(fleet, namespace, context))
        _show(found, as_json=as_json, notes=notes)
        return
    from headrace.local import client  # noqa: PLC0415 - the other verbs start faster

    _show(asyncio.run(client.status(find_fleet(fleet))), as_json=as_json)


async def of_cluster(
    file: Path, namespace: str | None, context: str | None
) -> tuple[FleetStatus, list[str]]:
    """Return the fleet as it is in a cluster, and what its table has no place for."""
    from headrace.kubernetes.gather import gather  # noqa: PLC0415 - other verbs start faster
    from headrace.kubernetes.status import Subject, fleet_status, reasons  # noqa: PLC0415 - as above

    checked = load_checked(file)
    space = namespace or checked.fleet.fleet
    async with connected(context) as cluster:
        picture = await gather(cluster, space, checked.fleet)
    subject = Subject(checked.fleet, str(file), space, time.time())
    waits = [f"{name}: {why}" for name, why in reasons(picture)]
    return fleet_status(picture, subject), [*waits, *picture.blind.values()]


def _show(found: FleetStatus, *, as_json: bool, notes: Iterable[str] = ()) -> None:
    from headrace.view.display import remarks, table  # noqa: PLC0415 - the other verbs start faster

    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    Console().print(table(found))
    for line in (*remarks(found), *notes):
        typer.echo(line)
    for deployment in found.deployments:
        if deployment.why:
            typer.echo(f"{deployment.name}: {deployment.why}")
        if deployment.last_words:
            typer.echo(f"{deployment.name}: the last replica that died: {deployment.last_words}")
