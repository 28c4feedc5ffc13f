"""`headrace prepare`: everything that `up` needs from elsewhere, without starting anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.files import load_checked
from headrace.cli.progress import progress_bars
from headrace.fleet.load import raise_problems


def prepare(file: Annotated[Path, typer.Argument(help="The fleet file.")]) -> None:
    """Bring the weights and install the engines of a fleet; a second time takes seconds."""
    from headrace.local import prepare as local  # noqa: PLC0415 - the other verbs start faster

    checked = load_checked(file)
    raise_problems(checked.problem(*finding) for finding in local.engine_findings(checked))
    with progress_bars() as progress:
        weights = local.prepare_weights(checked, progress)
    engines = local.prepare_engines(checked, typer.echo)
    for name, path in [*weights.items(), *engines.items()]:
        typer.echo(f"{name}: {path}")
