"""`headrace weights pull|verify|list`: what `models` does, with progress bars and plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.files import load_checked
from headrace.cli.progress import progress_bars
from headrace.fleet.problems import nearest
from headrace.fleet.units import format_size
from headrace.models.cache import weights_root
from headrace.models.lock import LockEntry, lock_path, read_lock
from headrace.models.store import Problem, Store

app = typer.Typer(help="Pull, verify and list the weights of a fleet.", no_args_is_help=True)

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


@app.command("list")
def list_() -> None:
    """Show what this machine holds."""
    store = Store(weights_root())
    table = Table("source", "size", "path", box=None)
    for stored in store.stored():
        table.add_row(stored.entry.source, format_size(stored.entry.size), str(stored.path))
    console = Console()
    console.print(table if table.row_count else f"no weights in {weights_root()}")
