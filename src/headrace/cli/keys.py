"""`headrace keys new|list|remove`: the API keys that a fleet's gateway asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.gateway.keys import add_key, read_keys, remove_key

app = typer.Typer(help="Make, list and remove the API keys of a fleet.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Whose key it is.")]
FileOption = Annotated[
    Path, typer.Option("--file", "-f", help="The file that `gateway.keys` of the fleet names.")
]
StreamsOption = Annotated[
    int | None, typer.Option(min=1, help="Requests at once; default: no bound.")
]


@app.command()
def new(
    name: NameArgument, file: FileOption = Path("keys.yaml"), streams: StreamsOption = None
) -> None:
    """Make a key and print it, this once; the file gets its hash."""
    typer.echo(add_key(file, name, streams))
    typer.echo(f"This key is not shown again. {file} has its hash.", err=True)


@app.command("list")
def list_(file: FileOption = Path("keys.yaml")) -> None:
    """Show whose keys there are."""
    for key in read_keys(file):
        bound = f"{key.streams} at once" if key.streams else "no bound"
        typer.echo(f"{key.name:<24} {bound:<16} sha256 {key.digest[:8]}…")


@app.command()
def remove(name: NameArgument, file: FileOption = Path("keys.yaml")) -> None:
    """Take a key out of the file; a fleet that is up notices within seconds."""
    remove_key(file, name)
    typer.echo(f"{name} is no longer in {file}")
