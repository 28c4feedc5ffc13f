"""`headrace diff`: what `headrace apply` would change in a cluster, by the cluster's own word."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Literal

import typer
from rich.console import Console
from rich.text import Text

from headrace.cli import render
from headrace.cli.cluster import ContextOption, connected, wanted
from headrace.cli.files import load_checked
from headrace.fleet.problems import FleetError
from headrace.kubernetes.errors import ClusterError
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError

if TYPE_CHECKING:
    from headrace.kubernetes.diff import Changes, Wanted

_DIFFERENT, _TROUBLE = 1, 2
_STYLES = {"+": "green", "-": "red", "~": "bold", "!": "bold red", "@": "cyan"}


def diff(  # noqa: PLR0917 - options of a command
    file: render.FileArgument,
    namespace: render.NamespaceOption = None,
    image: render.ImageOption = None,
    expose: render.ExposeOption = "none",
    scaler: render.ScalerOption = "external",
    without: render.WithoutOption = "",
    storage: render.StorageOption = "rwx",
    keda: render.KedaOption = "2.20",
    prometheus: render.PrometheusOption = None,
    gpus: render.GpusOption = None,
    context: ContextOption = None,
) -> None:
    """Show what apply would change: 0 nothing, 1 something, 2 it cannot be found out.

    The API server computes it (a dry run), so defaults and webhooks are in it. Secrets are hidden.
    """
    try:
        found = asyncio.run(
            _find(
                wanted(
                    load_checked(file),
                    namespace=namespace,
                    image=image,
                    expose=expose,
                    scaler=scaler,
                    without=without,
                    storage=storage,
                    keda=keda,
                    prometheus=prometheus,
                    gpus=gpus or [],
                ),
                context,
            )
        )
    except (ClusterError, FleetError, PlanError, WeightsError) as error:
        sys.stderr.write(f"headrace: {error}\n")
        raise typer.Exit(_TROUBLE) from error
    show(found)
    raise typer.Exit(_DIFFERENT if found.any else 0)


async def _find(fleet: Wanted, context: str | None) -> Changes:
    from headrace.kubernetes.diff import find_changes  # noqa: PLC0415 - other verbs start faster

    async with connected(context) as cluster:
        return await find_changes(cluster, fleet)


def show(changes: Changes) -> None:
    """Print differences, and how many there are of each kind."""
    from headrace.kubernetes.diff import lines  # noqa: PLC0415 - other verbs start faster

    console = Console(soft_wrap=True, highlight=False)
    for difference in changes.differences:
        for line in lines(difference):
            mark: Literal["+", "-", "~", "!", "@", " "] = line.strip()[:1] or " "  # type: ignore[assignment]
            console.print(Text(line, style=_STYLES.get(mark, "")))
    for note in changes.notes:
        console.print(note)
    console.print(changes.summary())
