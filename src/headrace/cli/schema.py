"""`headrace schema`: the JSON schema that lets an editor complete and check a fleet file."""

from __future__ import annotations

import json

import typer

from headrace.fleet.schema import fleet_schema


def schema() -> None:
    """Print the JSON schema of fleet.yaml."""
    typer.echo(json.dumps(fleet_schema(), indent=2))
