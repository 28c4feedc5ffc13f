"""`headrace scaler FILE`: what KEDA asks how much work there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def scaler(
    file: Annotated[Path, typer.Argument(help="The fleet file; read again when it changes.")],
    *,
    namespace: Annotated[
        str | None,
        typer.Option(envvar="POD_NAMESPACE", help="Where the gateways are; default: the fleet's."),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(help="Of the kubeconfig; default: its current one, in a Pod the Pod's own."),
    ] = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="For KEDA.")] = "0.0.0.0:9090",
    admin: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="For metrics and health.")
    ] = "0.0.0.0:9091",
    keep: Annotated[
        float, typer.Option(help="Seconds for which a silent gateway's last word counts.")
    ] = 10.0,
) -> None:
    """Tell KEDA the demand of all gateways: its external scaler, for the cluster."""
    from headrace.kubernetes.kubeconfig import find_config  # noqa: PLC0415 - others start faster
    from headrace.kubernetes.scaler import Place, serve  # noqa: PLC0415 - as above

    serve(file, Place(listen, admin, namespace, keep), find_config(context))
