"""`headrace delete`: take a fleet out of a cluster, and nothing that others put there."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.cluster import INTERRUPTED, ContextOption, connected, seconds
from headrace.cli.files import load_checked
from headrace.cli.render import FileArgument, NamespaceOption

if TYPE_CHECKING:
    from headrace.kubernetes.delete import Leaving
    from headrace.kubernetes.resource import Object


def delete(
    file: FileArgument,
    *,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Leave the volumes with pulled weights.")
    ] = False,
    with_namespace: Annotated[
        bool,
        typer.Option("--with-namespace", help="The namespace, too, with all that is in it."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before.")] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait until all is gone.")] = "15m",
) -> None:
    """Delete what Headrace applied for this fleet; running requests may finish first."""
    fleet = load_checked(file).fleet.fleet
    space, limit = namespace or fleet, seconds("--timeout", timeout)
    try:
        asyncio.run(
            _delete(
                fleet,
                space,
                context,
                keep_weights=keep_weights,
                with_namespace=with_namespace,
                yes=yes,
                limit=limit,
            )
        )
    except KeyboardInterrupt:
        again = f"`headrace delete {file}` goes on from there"
        sys.stderr.write(f"\nheadrace: interrupted; what was told to go goes, and {again}\n")
        raise typer.Exit(INTERRUPTED) from None


async def _delete(
    fleet: str,
    namespace: str,
    context: str | None,
    *,
    keep_weights: bool,
    with_namespace: bool,
    yes: bool,
    limit: float,
) -> None:
    from headrace.kubernetes.delete import delete as remove  # noqa: PLC0415 - others start faster
    from headrace.kubernetes.delete import find_leaving  # noqa: PLC0415 - as above

    async with connected(context) as cluster:
        leaving = await find_leaving(
            cluster, fleet, namespace, keep_weights=keep_weights, with_namespace=with_namespace
        )
        if not leaving.objects and leaving.namespace is None:
            typer.echo(f"nothing of fleet {fleet} is in namespace {namespace}")
            return
        if not yes:
            _ask(leaving, fleet, namespace)
        await remove(cluster, leaving, _told, limit=limit)
        typer.echo("delete: nothing is left" if leaving.namespace else _left(namespace))


def _told(one: Object) -> None:
    typer.echo(f"{one['kind']} {one['metadata']['name']}: told to go")


def _ask(leaving: Leaving, fleet: str, namespace: str) -> None:
    everything = " and everything in it that others made" if leaving.namespace else ""
    what = f"{len(leaving.objects)} objects of fleet {fleet} in namespace {namespace}"
    where = f", the namespace itself{everything}" if leaving.namespace else ""
    typer.confirm(f"Delete {what}{where}?", abort=True)


def _left(namespace: str) -> str:
    return f"delete: nothing is left but namespace {namespace} and what others put into it"
