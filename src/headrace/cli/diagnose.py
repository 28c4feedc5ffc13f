"""`headrace diagnose`: which of admission, generation and life cycle is at fault, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from headrace.cli.running import find_fleet
from headrace.fleet.units import parse_duration

if TYPE_CHECKING:
    from headrace.diagnosis.finding import Diagnosis
    from headrace.diagnosis.observation import Observation

AT_FAULT, NOT_ENOUGH = 1, 3


def diagnose(
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
        str, typer.Option(help="Requests that ended so long before that count, as 1h.")
    ] = "5m",
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a line each.")] = False,
) -> None:
    """Say what is wrong with a fleet or in a run, with the figures and the next experiment.

    Exit status: 0 nothing is wrong, 1 something is, 3 there is not enough data to tell.
    """
    from headrace.diagnosis.diagnose import diagnose as verdict_on  # noqa: PLC0415 - others start faster

    seconds, back = _duration("--for", for_, least=1.0), _duration("--since", since)

    seen = [_of_run(what)] if what and what.is_dir() else _of_fleet(what, seconds, back)
    _show(
        sorted(map(verdict_on, seen), key=lambda one: _ORDER.index(one.judgement)), as_json=as_json
    )


_ORDER = ("at fault", "healthy", "not enough data")


def _duration(option: str, text: str, least: float = 0.0) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint=f"'{option}'") from error
    if seconds < least:
        raise typer.BadParameter(f"{text}: at least {least:g}s", param_hint=f"'{option}'")
    return seconds


def _of_run(folder: Path) -> Observation:
    from headrace.bench.folder import FolderError, read  # noqa: PLC0415 - as above
    from headrace.bench.symptoms import observe  # noqa: PLC0415 - as above

    damage: list[str] = []
    try:
        seen = observe(read(folder, damage))
    except FolderError as error:
        raise typer.BadParameter(str(error)) from error
    for line in damage:
        typer.echo(f"headrace: left out, as it is damaged: {line}", err=True)
    return seen


def _of_fleet(file: Path | None, seconds: float, back: float) -> Sequence[Observation]:
    from headrace.local.observing import observe  # noqa: PLC0415 - as above

    state = find_fleet(file)
    typer.echo(f"headrace: watching for {seconds:g} s", err=True)
    return asyncio.run(observe(state, seconds, back))


def _show(diagnoses: Sequence[Diagnosis], *, as_json: bool) -> None:
    """Print them and end with the status; a deployment without requests does not hide others."""
    from headrace.diagnosis.text import lines  # noqa: PLC0415 - as above

    for one in diagnoses:
        typer.echo(msgspec.json.encode(one) if as_json else "\n".join(lines(one)))
    worst = str(diagnoses[0].judgement) if diagnoses else "not enough data"
    raise typer.Exit({"at fault": AT_FAULT, "healthy": 0}.get(worst, NOT_ENOUGH))
