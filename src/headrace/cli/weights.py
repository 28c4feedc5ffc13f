"""`headrace weights pull|verify|list|quantize`: what `models` does, with bars and plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.files import load_checked
from headrace.cli.progress import progress_bars
from headrace.fleet.load import FleetFile
from headrace.fleet.problems import nearest
from headrace.fleet.source import FileSource
from headrace.fleet.units import format_size
from headrace.models.cache import weights_root
from headrace.models.lock import LockEntry, lock_path, read_lock
from headrace.models.store import Problem, Store

app = typer.Typer(
    help="Pull, verify, list and quantize the weights of a fleet.", no_args_is_help=True
)

FleetArgument = Annotated[Path, typer.Argument(help="The fleet file.")]


@app.command()
def pull(
    fleet: FleetArgument,
    deployment: Annotated[
        str | None, typer.Option("--deployment", "-d", help="Only what this one needs.")
    ] = None,
) -> None:
    """Bring the weights of all models and adapters here, checked against the lock file."""
    from headrace.local.prepare import prepare_weights  # noqa: PLC0415 - spares the other verbs numpy

    file = load_checked(fleet)
    if deployment is not None and deployment not in file.fleet.deployments:
        hint = nearest(deployment, file.fleet.deployments)
        raise typer.BadParameter(f"{fleet} has no deployment '{deployment}'{hint}")
    with progress_bars() as progress:
        paths = prepare_weights(file, progress, deployment)
    for name, path in paths.items():
        typer.echo(f"{name}: {path}")


@app.command()
def verify(fleet: FleetArgument) -> None:
    """Read every file of all models and adapters again; compare its SHA-256 with the lock file."""
    from headrace.local.wanted import wanted_weights  # noqa: PLC0415 - as above

    file = load_checked(fleet)
    entries = read_lock(lock_path(file.path))
    store = Store(weights_root())
    bad = False
    for name in (one.key for one in wanted_weights(file.fleet)):
        found = list(_problems(store, name, entries.get(name)))
        bad |= bool(found)
        for line in found or [
            f"{name}: good: {len(entries[name].files)} files match the lock file"
        ]:
            typer.echo(line)
    raise typer.Exit(code=int(bad))


def _problems(store: Store, name: str, entry: LockEntry | None) -> Iterator[str]:
    if entry is None:
        yield f"{name}: not in the lock file; run `headrace weights pull`"
    elif store.locate(entry) is None:
        yield f"{name}: not on this machine; run `headrace weights pull`"
    else:
        yield from (f"{name}: {problem}" for problem in _verified(store, entry))


def _verified(store: Store, entry: LockEntry) -> list[Problem]:
    with progress_bars() as progress:
        return store.verify(entry, progress=progress)


@app.command()
def quantize(
    fleet: FleetArgument,
    folder: Annotated[Path, typer.Argument(help="Where the variant goes; a new folder.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="Default: the only.")] = None,
) -> None:
    """Make an INT8 variant of a model: matrices in 8 bits, a scale for each output channel."""
    from headrace.local.prepare import prepare_weights  # noqa: PLC0415 - as above
    from headrace.models.int8 import quantize_folder  # noqa: PLC0415 - as above

    file = load_checked(fleet)
    name = _one_model(file, model)
    with progress_bars() as progress:
        source = prepare_weights(file, progress, _deployment_of(file, name))[name]
        made = quantize_folder(source, folder.absolute(), progress)
    sizes = f"{format_size(made.bytes)} instead of {format_size(made.original)}"
    typer.echo(f"{name}: {made.matrices} matrices in 8 bits, {sizes}: {folder}")
    typer.echo(f"for the fleet file: weights: {FileSource(str(made.folder))}")


def _one_model(file: FleetFile, model: str | None) -> str:
    models = file.fleet.models
    if model is None and len(models) == 1:
        return next(iter(models))
    if model is None:
        raise typer.BadParameter(f"which model? --model with one of: {', '.join(models)}")
    if model not in models:
        raise typer.BadParameter(f"{file.path} has no model '{model}'{nearest(model, models)}")
    return model


def _deployment_of(file: FleetFile, model: str) -> str:
    """Return a deployment that needs these weights; twins need none."""
    from headrace.local.wanted import emulated  # noqa: PLC0415 - as above

    for name, one in file.fleet.deployments.items():
        if one.model == model and not emulated(file.fleet, one):
            return name
    raise typer.BadParameter(f"no deployment with a real engine has the model '{model}'")


@app.command("list")
def list_() -> None:
    """Show what this machine holds."""
    store = Store(weights_root())
    table = Table("source", "size", "path", box=None)
    for stored in store.stored():
        table.add_row(stored.entry.source, format_size(stored.entry.size), str(stored.path))
    console = Console()
    console.print(table if table.row_count else f"no weights in {weights_root()}")
