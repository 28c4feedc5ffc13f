"""`headrace apply`: put the fleet into a cluster, and watch it until it serves."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli import render
from headrace.cli.cluster import INTERRUPTED, ContextOption, connected, seconds, wanted
from headrace.cli.diff import show
from headrace.cli.files import load_checked

if TYPE_CHECKING:
    from headrace.fleet.load import FleetFile
    from headrace.kubernetes.apply import Sent
    from headrace.kubernetes.cluster import Cluster
    from headrace.kubernetes.diff import Wanted
    from headrace.starts.start import Start
    from headrace.view.display import Display

_BESIDE = 3600.0
"""Seconds beside the longest start: for images and weights to come."""


def apply(  # noqa: PLR0917 - options of a command
    file: render.FileArgument,
    namespace: render.NamespaceOption = None,
    image: render.ImageOption = None,
    expose: render.ExposeOption = "none",
    scaler: render.ScalerOption = "external",
    without: render.WithoutOption = "",
    storage: render.StorageOption = "rwx",
    keda: render.KedaOption = "2.20",
    prometheus: render.PrometheusOption = None,
    gpus: render.GpusOption = None,
    context: ContextOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change; the server checks it.")
    ] = False,
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="Take over fields that others have set.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Stay until it serves, or never will.")] = True,
    timeout: Annotated[
        str | None, typer.Option(help="How long to stay; default: the longest startup and 1h.")
    ] = None,
) -> None:
    """Put the fleet into a cluster, take away what is no longer in the file, and watch it start.

    It can be repeated at any time, also after it was interrupted: it goes on from what is there.
    """
    checked = load_checked(file)
    fleet = wanted(
        checked,
        namespace=namespace,
        image=image,
        expose=expose,
        scaler=scaler,
        without=without,
        storage=storage,
        keda=keda,
        prometheus=prometheus,
        gpus=gpus or [],
    )
    limit = None if timeout is None else seconds("--timeout", timeout)
    _run(_Choices(checked, fleet, context, dry_run, force_conflicts, wait, limit))


@dataclass(frozen=True)
class _Choices:
    """What the command line asks for; `timeout` is in seconds, None: as the file suggests."""

    file: FleetFile
    fleet: Wanted
    context: str | None
    dry_run: bool
    force: bool
    wait: bool
    timeout: float | None

    @property
    def limit(self) -> float:
        """How long to stay, in seconds."""
        starts = (one.lifecycle.startup for one in self.file.fleet.deployments.values())
        return max(starts) + _BESIDE if self.timeout is None else self.timeout


def _run(choices: _Choices) -> None:
    """Apply; Ctrl-C leaves what can be repeated, and says so."""
    from headrace.kubernetes.apply import Sent  # noqa: PLC0415 - other verbs start faster

    sent = Sent()
    try:
        asyncio.run(_apply(choices, sent))
    except KeyboardInterrupt:
        sys.stderr.write(f"\nheadrace: {_interrupted(choices.file.path, sent)}\n")
        raise typer.Exit(INTERRUPTED) from None


def _interrupted(file: Path, sent: Sent) -> str:
    if not sent.total:
        return "interrupted; nothing was sent"
    if sent.done < sent.total:
        return (
            f"interrupted after {sent.done} of {sent.total} objects; what was sent stays, and "
            f"`headrace apply {file}` goes on from there"
        )
    return (
        "interrupted; all is sent and goes on starting: "
        f"`headrace status {file} --cluster` shows how far it is"
    )


async def _apply(choices: _Choices, sent: Sent) -> None:
    from headrace.kubernetes.apply import apply as send  # noqa: PLC0415 - other verbs start faster
    from headrace.kubernetes.diff import find_changes  # noqa: PLC0415 - as above
    from headrace.view.display import display_for  # noqa: PLC0415 - as above
    from headrace.view.events import event  # noqa: PLC0415 - as above

    async with connected(choices.context) as cluster:
        changes = await find_changes(cluster, choices.fleet)
        if choices.dry_run:
            show(changes)
            return
        display = display_for(sys.stdout)

        def tell(stage: str, text: str) -> None:
            display.show(event("note", stage, text))

        await send(cluster, changes, sent, tell, force=choices.force)
        tell(choices.fleet.fleet, f"sent: {changes.summary()}")
        if choices.wait:
            await _follow(cluster, choices, display)


async def _follow(cluster: Cluster, choices: _Choices, display: Display) -> None:
    from headrace.kubernetes.follow import Following, Pace  # noqa: PLC0415 - as above
    from headrace.kubernetes.status import Subject  # noqa: PLC0415 - as above
    from headrace.view.events import event  # noqa: PLC0415 - as above

    subject = Subject(
        choices.file.fleet, str(choices.file.path), choices.fleet.namespace, time.time()
    )

    def now() -> Subject:
        return replace(subject, clock=time.time())

    following = Following(cluster, now, display, Pace(limit=choices.limit))
    try:
        await following.run()
    finally:
        note = _record(choices, following.starts())
        if note:
            display.show(event("note", "starts", note))
    display.show(event("serving", choices.fleet.fleet, f"serves at {following.status().address}"))


def _record(choices: _Choices, starts: Sequence[Start]) -> str:
    """Add what starts took to the ledger; return why that could not be, else nothing."""
    from headrace.starts import ledger  # noqa: PLC0415 - other verbs start faster

    path = ledger.running_path(choices.file.fleet.fleet, choices.file.path)
    try:
        ledger.merge(path, starts)
    except (OSError, ValueError) as error:
        return f"they are not recorded: {error}"
    return ""
