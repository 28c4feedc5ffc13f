"""`headrace version`."""

from __future__ import annotations

from importlib.metadata import version as installed

import typer


def version() -> None:
    """Print Headrace's version."""
    typer.echo(f"headrace {installed('headrace')}")
