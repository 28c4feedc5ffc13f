"""What the verbs that talk to a cluster share: which one, and the fleet as it should be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.render import cluster_options
from headrace.fleet.units import parse_duration
from headrace.kubernetes.names import NOT_READY

if TYPE_CHECKING:
    from headrace.fleet.load import FleetFile
    from headrace.kubernetes.cluster import Cluster
    from headrace.kubernetes.diff import Wanted

ContextOption = Annotated[
    str | None, typer.Option(help="Of the kubeconfig; default: its current one.")
]
INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended."""


def connected(context: str | None) -> Cluster:
    """Return the cluster that is meant; ContextError if there is none."""
    from headrace.kubernetes.cluster import Cluster  # noqa: PLC0415 - other verbs start faster
    from headrace.kubernetes.kubeconfig import find_config  # noqa: PLC0415 - as above

    return Cluster(find_config(context))


def wanted(file: FleetFile, **words: Any) -> Wanted:
    """Return the fleet as options (`cluster_options`) want it; RejectedError if it lacks a lock."""
    from headrace.kubernetes.diff import Wanted  # noqa: PLC0415 - other verbs start faster
    from headrace.kubernetes.errors import RejectedError  # noqa: PLC0415 - as above
    from headrace.kubernetes.options import OptionError  # noqa: PLC0415 - as above
    from headrace.kubernetes.render import KUSTOMIZATION, render  # noqa: PLC0415 - as above

    try:
        options = cluster_options(file, **words)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error
    files = [one for one in render(file, options) if one.path != KUSTOMIZATION]
    objects = tuple(one for each in files for one in each.objects)
    unready = dict.fromkeys(one.head for one in objects if one.head.startswith(NOT_READY))
    if unready:
        raise RejectedError("\n".join(unready))
    return Wanted(file.fleet.fleet, options.namespace or file.fleet.fleet, objects)


def seconds(option: str, text: str) -> float:
    """Return a duration that an option gives, such as 10m."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint=f"'{option}'") from error
