"""`headrace experiment`: turn a guess into a number, with a conclusion in words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.files import load_checked
from headrace.cli.progress import progress_bars
from headrace.cli.running import find_fleet, served_file
from headrace.fleet.problems import nearest
from headrace.local import client
from headrace.local.errors import LocalError

if TYPE_CHECKING:
    from headrace.experiments.begin import Voice
    from headrace.experiments.experiment import Effort, Experiment
    from headrace.experiments.finding import Finding
    from headrace.experiments.lab import Lab
    from headrace.fleet.load import FleetFile

RUNNING = "running"
_INTERRUPTED = 130
_WIDTH = 120
"""Columns of tables where nobody can say how many there are."""


def experiment(  # noqa: PLR0917 - typer reads the options from the signature
    name: Annotated[str, typer.Argument(help="Which one, or `list`.")],
    fleet: Annotated[
        str | None,
        typer.Argument(
            help="A fleet file: copies are measured. Or `running`: the fleet that is up."
        ),
    ] = None,
    deployment: Annotated[
        str | None, typer.Option("--deployment", "-d", help="Which, where there are several.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Instead of a fleet: http://host:port/v1; with --model.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="With --url.")] = None,
    hourly: Annotated[
        float | None,
        typer.Option(min=0, help="What a replica's hour costs; default: the file's hourly_price."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything.")] = False,
    long: Annotated[bool, typer.Option("--long", help="More repeats: smaller noise.")] = False,
    knobs: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="See `list`.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of page, figures and runs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The finding, for programs.")] = False,
    evidence: Annotated[bool, typer.Option(help="Keep the result beside the fleet file.")] = True,
) -> None:
    """Measure, and say in plain words what follows; `headrace experiment list` has all of them.

    Copies of the deployment are started beside what runs, and stopped in the end, whatever happens.
    Ctrl-C (or SIGTERM) concludes from what was measured until then; a second one does so without
    waiting for copies to stop in good order. An endpoint that asks for an API key gets
    the one in $HEADRACE_KEY.
    """
    from headrace.experiments.settings import with_changes  # noqa: PLC0415 - verbs start faster

    if name == "list":
        _list()
        return
    chosen, effort = _chosen(name), _effort(quick=quick, long=long)
    settings = with_changes(chosen.settings[effort], knobs or [])
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    with _told_if_stopped(), _voice(console) as voice:
        lab = _lab(voice, fleet, deployment, (url, model), out, name)
        if hourly is not None:
            lab.case = msgspec.structs.replace(lab.case, hourly=hourly)
        finding = _performed(chosen, settings, lab)
    _show(finding, lab, console, as_json=as_json, evidence=evidence)
    raise typer.Exit(_INTERRUPTED if finding.case.interrupted else 0)


def _chosen(name: str) -> Experiment[Any, Any]:
    from headrace.experiments.catalogue import EXPERIMENTS  # noqa: PLC0415 - others start faster

    if name not in EXPERIMENTS:
        raise typer.BadParameter(f"no experiment '{name}'{nearest(name, EXPERIMENTS)}")
    return EXPERIMENTS[name]


def _effort(*, quick: bool, long: bool) -> Effort:
    from headrace.experiments.experiment import Effort  # noqa: PLC0415 - as above

    if quick and long:
        raise typer.BadParameter("--quick and --long exclude each other")
    return Effort.QUICK if quick else Effort.LONG if long else Effort.NORMAL


def _list() -> None:
    from headrace.experiments.catalogue import EXPERIMENTS  # noqa: PLC0415 - as above
    from headrace.experiments.experiment import Effort  # noqa: PLC0415 - as above
    from headrace.experiments.settings import written  # noqa: PLC0415 - as above

    for one in EXPERIMENTS.values():
        knobs = written(msgspec.to_builtins(one.settings[Effort.NORMAL]))
        needs = "needs a fleet file" if one.copies else "a fleet file or any endpoint"
        typer.echo(f"{one.name}: {one.question} ({needs})\n    knobs: {knobs}")


@contextmanager
def _told_if_stopped() -> Iterator[None]:
    """Say so below what the voice has written, and end with the status of Ctrl-C."""
    from headrace.experiments.errors import StoppedError  # noqa: PLC0415 - as above

    try:
        yield
    except StoppedError as error:
        typer.echo(f"headrace: {error}", err=True)
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def _voice(console: Console) -> Iterator[Voice]:
    """Give a voice: lines that stay, and on a terminal one that changes below them."""
    from headrace.experiments.begin import Voice  # noqa: PLC0415 - as above

    def tell(line: str) -> None:
        console.print(line, style="dim", markup=False)

    if not console.is_terminal:
        yield Voice(tell, lambda _: None)
        return
    with console.status("") as status:
        yield Voice(tell, lambda line: status.update(escape(line)))


def _lab(  # noqa: PLR0917 - what the command line said, one by one
    voice: Voice,
    fleet: str | None,
    deployment: str | None,
    address: tuple[str | None, str | None],
    out: Path | None,
    name: str,
) -> Lab:
    from headrace.bench.folder import default_folder  # noqa: PLC0415 - as above
    from headrace.experiments import begin  # noqa: PLC0415 - as above

    url, model = address
    if url is not None:
        if fleet is not None or model is None:
            raise typer.BadParameter("--url needs --model, and no fleet")
        folder = out or default_folder(Path.cwd(), name)
        return begin.lab_for_address(url, model, folder, voice)
    if fleet is None:
        raise typer.BadParameter("give a fleet file, `running`, or --url with --model")
    if fleet != RUNNING:
        file = _settled(Path(fleet), deployment)
        folder = out or default_folder(file.path.parent, name)
        return begin.lab_for_file(file, deployment, folder, voice)
    state = find_fleet(None)
    status = asyncio.run(client.status(state))
    file = _settled(served_file(status).path, deployment)
    folder = out or default_folder(file.path.parent, name)
    return begin.lab_for_running(file, (state, status), deployment, folder, voice)


def _settled(path: Path, deployment: str | None) -> FleetFile:
    """Return the file with nothing left open, and the deployment's weights on this machine."""
    from headrace.experiments.begin import chosen  # noqa: PLC0415 - as above
    from headrace.experiments.room import check_kind  # noqa: PLC0415 - as above
    from headrace.local.prepare import prepare_weights  # noqa: PLC0415 - as above
    from headrace.planning.settled import settled  # noqa: PLC0415 - as above

    file = load_checked(path)
    name = chosen(file, deployment)
    check_kind(file, name)
    with progress_bars() as progress:
        prepare_weights(file, progress, name)
    return settled(file).file


def _performed(chosen: Experiment[Any, Any], settings: Any, lab: Lab) -> Finding:
    """Measure and conclude, until Ctrl-C or SIGTERM at most.

    Each further one cancels again, which kills a copy that is waited for. LocalError if it cannot
    be done, StoppedError if nothing was measured until then.
    """
    import uvloop  # noqa: PLC0415 - as above

    from headrace.bench.folder import FolderError  # noqa: PLC0415 - as above
    from headrace.bench.target import TargetError  # noqa: PLC0415 - as above
    from headrace.bench.tokens import TokenizerError  # noqa: PLC0415 - as above
    from headrace.experiments.perform import perform  # noqa: PLC0415 - as above
    from headrace.local.closing import signals  # noqa: PLC0415 - as above
    from headrace.traffic.errors import TrafficError  # noqa: PLC0415 - as above

    async def performed() -> Finding:
        performing = asyncio.ensure_future(perform(chosen, lab, settings))
        with signals(lambda: _hurry(performing, lab)):
            return await performing

    try:
        return uvloop.run(performed())
    except (FolderError, TargetError, TokenizerError, TrafficError) as error:
        raise LocalError(f"{chosen.name}: {error}") from error


def _hurry(performing: asyncio.Future[Finding], lab: Lab) -> None:
    lab.tell("ending; again kills what is being stopped")
    performing.cancel()


def _show(finding: Finding, lab: Lab, console: Console, *, as_json: bool, evidence: bool) -> None:
    from headrace.experiments.keep import finding_json, keep  # noqa: PLC0415 - as above
    from headrace.experiments.page import page  # noqa: PLC0415 - as above

    console.print(page(finding))
    for path in keep(finding, lab, with_evidence=evidence):
        console.print(f"written: {path}", style="dim", markup=False)
    if as_json:
        typer.echo(finding_json(finding), nl=False)
