"""`headrace rollout`: move a running fleet to a changed file, one replica at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.files import load_checked
from headrace.cli.progress import progress_bars
from headrace.cli.running import FleetOption, find_fleet, find_fleet_named
from headrace.fleet.load import FleetFile, raise_problems
from headrace.fleet.units import parse_duration
from headrace.local.state import StateDir
from headrace.view.status import RolloutState

RETURNED = 3
"""Exit status when the new replicas were worse and the fleet returned to the old file."""
PAUSED = 130
"""Exit status after Ctrl-C, as of any program that it ends."""
_STATUS: dict[RolloutState, int] = {"done": 0, "undone": 0, "returned": RETURNED, "paused": PAUSED}


def rollout(
    file: Annotated[Path | None, typer.Argument(help="The changed fleet file.")] = None,
    fleet: FleetOption = None,
    watch: Annotated[
        str | None, typer.Option(help="How long each new replica is watched, such as 30s.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a paused rollout.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Return to the file before.")] = False,
) -> None:
    """Move the fleet to FILE; worse replicas make it return (status 3). Ctrl-C pauses it."""
    if (file is not None) + resume + undo != 1:
        raise typer.BadParameter("give either FILE, or --resume, or --undo")
    if file is not None and fleet is not None:
        raise typer.BadParameter("--fleet: FILE itself says which fleet is meant")
    if file is None and watch is not None:
        raise typer.BadParameter("--watch: goes with FILE only")
    if file is not None:
        raise typer.Exit(_roll(file, watch))
    raise typer.Exit(_resume(find_fleet(fleet)) if resume else _undo(find_fleet(fleet)))


def _roll(path: Path, watch: str | None) -> int:
    from headrace.local import rollout_client  # noqa: PLC0415 - the other verbs start faster

    seconds = _seconds(watch)
    file = load_checked(path)
    state = find_fleet_named(file)
    _prepare(file)
    try:
        plan = asyncio.run(rollout_client.rollout(state, path.absolute(), seconds))
    except KeyboardInterrupt:
        typer.echo("\nno answer yet: `headrace status` says whether the rollout has begun")
        return PAUSED
    return _begun(state, plan)


def _seconds(watch: str | None) -> float | None:
    try:
        return None if watch is None else parse_duration(watch)
    except ValueError as error:
        raise typer.BadParameter(f"--watch: {error}") from error


def _prepare(file: FleetFile) -> None:
    """Bring weights and engines now, so that the fleet only has to find them."""
    from headrace.local import prepare  # noqa: PLC0415 - the other verbs start faster

    raise_problems(file.problem(*finding) for finding in prepare.engine_findings(file))
    with progress_bars() as progress:
        prepare.prepare_weights(file, progress)
    prepare.prepare_engines(file, typer.echo)


def _undo(state: StateDir) -> int:
    from headrace.local import rollout_client  # noqa: PLC0415 - the other verbs start faster

    return _begun(state, asyncio.run(rollout_client.undo_rollout(state)))


def _resume(state: StateDir) -> int:
    from headrace.local import rollout_client  # noqa: PLC0415 - the other verbs start faster

    asyncio.run(rollout_client.resume_rollout(state))
    return _follow(state)


def _begun(state: StateDir, plan: tuple[str, ...]) -> int:
    if not plan:
        typer.echo("nothing to do: the fleet already serves this file")
        return 0
    for line in plan:
        typer.echo(f"plan: {line}")
    return _follow(state)


def _follow(state: StateDir) -> int:
    from headrace.local import rollout_client  # noqa: PLC0415 - the other verbs start faster

    try:
        return _STATUS[asyncio.run(rollout_client.follow_rollout(state, typer.echo))]
    except KeyboardInterrupt:
        return _pause(state)


def _pause(state: StateDir) -> int:
    from headrace.local import client, rollout_client  # noqa: PLC0415 - as above

    try:
        asyncio.run(rollout_client.pause_rollout(state))
    except client.RefusedError as error:  # it returns, which nobody may stop half-way, or is over
        typer.echo(f"\n{error}; `headrace status` shows it")
        return PAUSED
    typer.echo(
        "\npaused: nothing is torn down and no further step is taken; go on with "
        "`headrace rollout --resume`, return with `headrace rollout --undo`"
    )
    return PAUSED
