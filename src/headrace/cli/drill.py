"""`headrace drill`: break a running fleet on purpose and say what its clients saw."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from headrace.cli.running import FleetArgument, find_fleet
from headrace.drill.kinds import Kind
from headrace.fleet.units import parse_duration

KEY = "HEADRACE_KEY"
"""Environment variable with an API key, for a fleet that asks for one."""
_STREAMS, _MIXED_STREAMS = 40, 10_000
_SURE = "This harms {what} of a running fleet, and requests of others may notice. Go on?"
_INTERRUPTED = 130


def _seconds(option: str, text: str, least: float = 0.0) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint=f"'{option}'") from error
    if seconds < least:
        raise typer.BadParameter(f"{text}: at least {least:g}s", param_hint=f"'{option}'")
    return seconds


def drill(  # noqa: PLR0917 - typer reads the options from the signature
    kind: Annotated[Kind, typer.Option(help="What is done to the fleet.")],
    fleet: FleetArgument = None,
    streams: Annotated[
        int | None, typer.Option(min=1, help="Requests at least; default: 40, mixed 10000.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 20,
    tokens: Annotated[int, typer.Option(min=2, help="Of each answer.")] = 128,
    duration: Annotated[str, typer.Option(help="Go on for at least so long, as 90s.")] = "0s",
    every: Annotated[str, typer.Option(help="Time between two kills of mixed.")] = "5s",
    model: Annotated[str | None, typer.Option(help="An alias; default: the first.")] = None,
    seed: Annotated[int, typer.Option(help="Other seeds ask other things.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The report, for programs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before.")] = False,
) -> None:
    """Harm a running fleet on purpose; good only if no request was lost, cut or doubled.

    Kinds: kill, stop (SIGTERM), hang (SIGSTOP), crash (engine worker), scale-down, rollout,
    gateway, mixed. A fleet that asks for API keys gets the one in $HEADRACE_KEY.
    """
    from headrace.drill.page import page  # noqa: PLC0415 - the other verbs start faster
    from headrace.drill.run import Order, drill  # noqa: PLC0415 - as above

    lengths = _seconds("--duration", duration), _seconds("--every", every, least=1.0)
    state = find_fleet(fleet)
    order = Order(
        kind=kind,
        streams=streams or (_MIXED_STREAMS if kind == "mixed" else _STREAMS),
        concurrency=concurrency,
        tokens=tokens,
        duration=lengths[0],
        every=lengths[1],
        model=model,
        seed=seed,
        key=os.environ.get(KEY),
    )
    if not yes:
        what = "the gateway" if kind == "gateway" else "replicas"
        typer.confirm(_SURE.format(what=what), abort=True, err=True)
    console = Console(stderr=as_json)
    try:
        report = asyncio.run(drill(state, order, _teller(console)))
    except KeyboardInterrupt:
        typer.echo("drill: interrupted; what it had done to the fleet is undone", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    console.print(page(report), soft_wrap=True)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    raise typer.Exit(0 if report.good else 1)


def _teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)
