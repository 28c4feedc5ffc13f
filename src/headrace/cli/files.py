"""Loading a fleet file as every verb does: typed, cross-checked, checked by its engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

from headrace.engines.named import engine_named
from headrace.fleet.checks import warnings
from headrace.fleet.load import FleetFile, load_fleet, raise_problems
from headrace.fleet.problems import Problem


def load_checked(path: Path) -> FleetFile:
    """Return the fleet file; FleetError lists every problem, its engines' included.

    What is only unwise is said on standard error.
    """
    file = load_fleet(path)
    raise_problems(_engine_problems(file))
    for field, message in warnings(file.fleet):
        typer.echo(f"headrace: warning: {file.problem(field, message)}", err=True)
    return file


def _engine_problems(file: FleetFile) -> Iterator[Problem]:
    for name, deployment in file.fleet.deployments.items():
        hardware = file.fleet.hardware[deployment.hardware]
        engine = engine_named(deployment.engine.name, deployment.engine.version)
        for path, message in engine.problems(deployment, hardware):
            yield file.problem(("deployments", name, *path), message)
