"""`headrace diagnose`: which of admission, generation and life cycle is at fault, and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from headrace.bench.folder import FolderError
from headrace.cli.cluster import ContextOption, seconds
from headrace.cli.render import NamespaceOption
from headrace.cli.running import find_fleet
from headrace.fleet.problems import FleetError
from headrace.gateway.store import StoreError
from headrace.kubernetes.errors import ClusterError
from headrace.local.errors import LocalError

if TYPE_CHECKING:
    from headrace.diagnosis.finding import Diagnosis
    from headrace.diagnosis.observation import Observation
    from headrace.view.status import FleetStatus

STATUS = {"at fault": 1, "healthy": 0, "not enough data": 3}
"""The exit status of each judgement, the one that counts first."""
UNABLE = 2
_LOOK = 2.0
"""Seconds between two looks at a cluster."""


def diagnose(  # noqa: PLR0917 - typer reads the options from the signature
    what: Annotated[
        Path | None,
        typer.Argument(
            metavar="FLEET|RUN",
            help="A fleet file, or a folder of `headrace bench`; default: the only fleet up.",
        ),
    ] = None,
    for_: Annotated[
        str, typer.Option("--for", help="How long to watch a fleet, as 30s.", metavar="TIME")
    ] = "10s",
    since: Annotated[
        str, typer.Option(help="Requests count that ended within this time before: 1h.")
    ] = "5m",
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a line each.")] = False,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="The fleet in a cluster, as far as can be seen there.")
    ] = False,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    causes: Annotated[
        bool, typer.Option("--causes", help="Print what can be found, as Markdown.")
    ] = False,
) -> None:
    """Say what is wrong with a fleet or in a run, with the figures and the next experiment.

    Exit status: 0 nothing is wrong, 1 something is, 3 there is not enough data to tell, 2 it could
    not be looked at.
    """
    if causes:
        from headrace.diagnosis.reference import table  # noqa: PLC0415 - the other verbs start faster

        typer.echo(table(), nl=False)
        return
    watch, back = seconds("--for", for_), seconds("--since", since)
    if watch < 1:
        raise typer.BadParameter(f"{for_}: at least 1s", param_hint="'--for'")
    if cluster and (what is None or what.is_dir()):
        raise typer.BadParameter("--cluster needs the fleet file")
    if not cluster and (namespace or context):
        raise typer.BadParameter("--namespace and --context go with --cluster")
    try:
        if what is not None and what.is_dir():
            seen = [_of_run(what)]
        elif what is not None and cluster:
            seen = asyncio.run(_of_cluster(what, watch, namespace, context))
        else:
            seen = asyncio.run(_of_fleet(what, watch, back))
    except (LocalError, FleetError, StoreError, ClusterError, FolderError) as error:
        typer.echo(f"headrace: {error}", err=True)
        raise typer.Exit(UNABLE) from error
    _show(seen, as_json=as_json)


def _of_run(folder: Path) -> Observation:
    from headrace.bench.folder import read  # noqa: PLC0415 - the other verbs start faster
    from headrace.bench.symptoms import observe  # noqa: PLC0415 - as above

    damage: list[str] = []
    seen = observe(read(folder, damage))
    for line in damage:
        typer.echo(f"headrace: left out, as it is damaged: {line}", err=True)
    return seen


async def _of_fleet(file: Path | None, watch: float, back: float) -> list[Observation]:
    from headrace.local import client  # noqa: PLC0415 - as above
    from headrace.local.observing import observe  # noqa: PLC0415 - as above

    state = find_fleet(file)
    await client.status(state)
    typer.echo(f"headrace: watching for {watch:g} s", err=True)
    return await observe(state, watch, back)


async def _of_cluster(
    file: Path, watch: float, namespace: str | None, context: str | None
) -> list[Observation]:
    from headrace.cli.status import of_cluster  # noqa: PLC0415 - as above
    from headrace.view.observed import observed  # noqa: PLC0415 - as above

    began = time.monotonic()
    statuses: list[tuple[float, FleetStatus]] = []
    while not statuses or time.monotonic() < began + watch:
        if statuses:
            await asyncio.sleep(_LOOK)
        status, notes = await of_cluster(file, namespace, context)
        statuses.append((time.monotonic() - began, status))
    for note in notes:
        typer.echo(f"headrace: {note}", err=True)
    return observed(statuses)


def _show(seen: Sequence[Observation], *, as_json: bool) -> None:
    """Print the verdicts, the worst first, and end with its status.

    One deployment that nobody asks does not hide that others are well.
    """
    from headrace.diagnosis.diagnose import diagnose as judge  # noqa: PLC0415 - as above
    from headrace.diagnosis.text import lines  # noqa: PLC0415 - as above

    rank = list(STATUS)
    found: list[Diagnosis] = sorted(map(judge, seen), key=lambda one: rank.index(one.judgement))
    for one in found:
        typer.echo(msgspec.json.encode(one) if as_json else "\n".join(lines(one)))
    raise typer.Exit(STATUS[found[0].judgement] if found else STATUS["not enough data"])
