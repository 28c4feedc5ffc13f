"""`headrace validate`: every mistake in a fleet file, or one line that says it is good."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.files import load_checked
from headrace.planning.settled import settled


def validate(file: Annotated[Path, typer.Argument(help="The fleet file.")]) -> None:
    """Check a fleet file: types, names, contradictions, and what its engines can do."""
    plan = settled(load_checked(file))
    fleet = plan.file.fleet
    parts = [
        f"{len(fleet.models)} model{'s' * (len(fleet.models) != 1)}",
        f"{len(fleet.deployments)} deployment{'s' * (len(fleet.deployments) != 1)}",
        f"{len(fleet.routes)} route{'s' * (len(fleet.routes) != 1)}",
    ]
    typer.echo(f"{file}: good: {', '.join(parts)}")
    for line in plan.lines():
        typer.echo(f"auto: {line}")
