"""`headrace render`: the fleet as files for Kubernetes, to review, to commit, to patch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.files import load_checked
from headrace.kubernetes.names import NOT_READY
from headrace.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.fleet.load import FleetFile
    from headrace.kubernetes.options import Options
    from headrace.kubernetes.render import Rendered

FileArgument = Annotated[Path, typer.Argument(help="The fleet file.")]
NamespaceOption = Annotated[
    str | None, typer.Option(help="Where objects go; default: the fleet's name.")
]
ImageOption = Annotated[
    str | None, typer.Option(help="Headrace's own image; default: headrace:VERSION.")
]
ExposeOption = Annotated[
    str, typer.Option(help="none, ingress=HOST or httproute=HOST@NAMESPACE/GATEWAY.")
]
ScalerOption = Annotated[
    Literal["external", "prometheus"],
    typer.Option(help="How KEDA learns of demand; prometheus is later and wakes later."),
]
WithoutOption = Annotated[
    str, typer.Option(help="Left out on purpose: keda, prometheus, lws, gateway-api.")
]
StorageOption = Annotated[str, typer.Option(help="Weights: rwx, rwx=CLASS or node-local.")]
KedaOption = Annotated[str, typer.Option(help="The cluster's KEDA.")]
PrometheusOption = Annotated[
    str | None, typer.Option(help="Address that KEDA asks; default: the operator's own Service.")
]
GpusOption = Annotated[
    list[str] | None,
    typer.Option(help="HARDWARE=COUNT: GPUs of the pool, to say whether a rollout has room."),
]


def render(  # noqa: PLR0917 - options of a command
    file: FileArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder; default: all on one page.")
    ] = None,
    namespace: NamespaceOption = None,
    image: ImageOption = None,
    expose: ExposeOption = "none",
    scaler: ScalerOption = "external",
    without: WithoutOption = "",
    storage: StorageOption = "rwx",
    keda: KedaOption = "2.20",
    prometheus: PrometheusOption = None,
    gpus: GpusOption = None,
) -> None:
    """Write the fleet as objects of Kubernetes, one readable file for each concern.

    The same file gives the same bytes. Nothing is sent anywhere.
    """
    from headrace.kubernetes.options import OptionError  # noqa: PLC0415 - other verbs start faster
    from headrace.kubernetes.render import render as make  # noqa: PLC0415 - as above

    checked = load_checked(file)
    try:
        options = cluster_options(
            checked,
            namespace=namespace,
            image=image,
            expose=expose,
            scaler=scaler,
            without=without,
            storage=storage,
            keda=keda,
            prometheus=prometheus,
            gpus=gpus or [],
        )
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error
    _deliver(make(checked, options), out)


def cluster_options(
    file: FleetFile,
    *,
    namespace: str | None = None,
    image: str | None = None,
    expose: str = "none",
    scaler: Literal["external", "prometheus"] = "external",
    without: str = "",
    storage: str = "rwx",
    keda: str = "2.20",
    prometheus: str | None = None,
    gpus: Sequence[str] = (),
) -> Options:
    """Return what the words of the command line mean; OptionError says which is wrong."""
    from headrace.kubernetes import options as known  # noqa: PLC0415 - other verbs start faster

    usual = known.Options()
    return known.Options(
        namespace=namespace,
        image=image or usual.image,
        expose=known.parse_expose(expose),
        scaler=scaler,
        without=known.parse_without(without),
        storage=known.parse_storage(storage),
        keda=known.parse_keda(keda),
        prometheus=prometheus or usual.prometheus,
        gpus=known.parse_gpus(list(gpus), file.fleet.hardware),
    )


def _deliver(files: Sequence[Rendered], output: Path | None) -> None:
    heads = (one.head for file in files for one in file.objects)
    for head in dict.fromkeys(head for head in heads if head.startswith(NOT_READY)):
        typer.echo(f"headrace: warning: {head}", err=True)
    if output is None:
        pages = [one.text for one in files if one.objects[0]["kind"] != "Kustomization"]
        typer.echo("".join(pages), nl=False)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for one in files:
            (output / one.path).write_text(one.text, encoding="utf-8")
    except OSError as error:
        raise LocalError(f"{error.filename or output}: {error.strerror or error}") from error
    typer.echo(f"headrace: {len(files)} files in {output}", err=True)
    _tell_others(files, output)


def _tell_others(files: Sequence[Rendered], output: Path) -> None:
    """Say which files of the folder are not from this rendering: a deployment that is gone, say."""
    ours = {one.path for one in files}
    for path in sorted(output.glob("*.yaml")):
        if path.name not in ours:
            typer.echo(
                f"headrace: warning: {path} is not of this fleet any more; delete it", err=True
            )
