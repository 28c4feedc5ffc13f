"""`headrace validate`: every mistake in a fleet file, or one line that says it is good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.files import load_checked
from headrace.fleet.load import FleetFile, raise_problems
from headrace.fleet.problems import Problem
from headrace.planning.settled import settled


def validate(file: Annotated[Path, typer.Argument(help="The fleet file.")]) -> None:
    """Check a fleet file: types, names, contradictions, and what its engines can do."""
    plan = settled(load_checked(file))
    raise_problems(_unstartable(plan.file))
    fleet = plan.file.fleet
    parts = [
        f"{len(fleet.models)} model{'s' * (len(fleet.models) != 1)}",
        f"{len(fleet.deployments)} deployment{'s' * (len(fleet.deployments) != 1)}",
        f"{len(fleet.routes)} route{'s' * (len(fleet.routes) != 1)}",
    ]
    typer.echo(f"{file}: good: {', '.join(parts)}")
    for line in plan.lines():
        typer.echo(f"auto: {line}")


def _unstartable(file: FleetFile) -> Iterator[Problem]:
    """Yield what no engine would start, as far as `headrace plan` is sure of it."""
    if not any(one.kind == "gpu" for one in file.fleet.hardware.values()):
        return
    from headrace.preflight.fleet_room import check_room  # noqa: PLC0415 - numpy only for GPUs

    for rule, path, message in check_room(file):
        if rule.severity == "error":
            yield file.problem(path, message)
