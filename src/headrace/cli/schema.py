"""`headrace schema`: what a fleet file may say, for an editor or for a reader."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from headrace.fleet.reference import fleet_reference
from headrace.fleet.schema import fleet_schema


def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="For readers.")] = False,
) -> None:
    """Print the JSON schema of fleet.yaml, or its reference."""
    typer.echo(fleet_reference() if markdown else json.dumps(fleet_schema(), indent=2), nl=False)
