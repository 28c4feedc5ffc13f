"""`headrace evidence list|show|compare|keep|schema`: what was measured, and whether it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from headrace.cli.files import load_checked
from headrace.fleet.load import FleetFile
from headrace.fleet.problems import nearest

app = typer.Typer(help="Show what was measured, and whether it holds.", no_args_is_help=True)

FleetOption = Annotated[
    Path | None,
    typer.Option("--fleet", "-f", help="The fleet file; default: all results in this folder."),
]
IdArgument = Annotated[str, typer.Argument(help="A result's id, or the beginning of its digest.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_NONE = "nothing was measured yet; `headrace experiment baseline {}` is where to begin"
_NONE_HERE = "no fleet file in this folder has results; name one: `headrace evidence list FLEET`"


@app.command("list")
def list_(
    fleet: Annotated[
        Path | None, typer.Argument(help="The fleet file; default: all results in this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List all results, the newest last; of a fleet file also whether each holds for it now."""
    from headrace.cli import evidence_shown as shown  # noqa: PLC0415 - the other verbs start faster

    known = shown.known_results(fleet)
    now = shown.as_now(load_checked(fleet), known.results) if fleet else {}
    calibrations = shown.calibrations(fleet)
    if as_json:
        for one in known.results:
            typer.echo(msgspec.json.encode({**shown.plain(one), "now": now.get(one.id)}))
        for calibration in calibrations:
            typer.echo(msgspec.json.encode({"calibration": msgspec.to_builtins(calibration)}))
        return
    for one in known.results:
        shown.say(one, now.get(one.id))
    for calibration in calibrations:
        typer.echo(f"calibration {calibration.fitted}, {calibration.model}")
        typer.echo(f"    {calibration.efficiency.label}, {calibration.requests} requests")
    if not known.results and not calibrations:
        typer.echo(_NONE.format(fleet) if fleet else _NONE_HERE)


@app.command()
def show(id_: IdArgument, fleet: FleetOption = None, as_json: Json = False) -> None:
    """Show one result: its conclusion, its figures, and what they are of."""
    from headrace.cli import evidence_shown as shown  # noqa: PLC0415 - the other verbs start faster
    from headrace.evidence.words import lines  # noqa: PLC0415 - as above

    one = shown.known_results(fleet).find(id_)
    if as_json:
        typer.echo(msgspec.json.encode(shown.plain(one)))
        return
    for line in lines(one):
        typer.echo(line)


@app.command()
def compare(
    first: IdArgument, second: IdArgument, fleet: FleetOption = None, as_json: Json = False
) -> None:
    """Compare two results: first in what they were of different things, then their figures."""
    from headrace.cli import evidence_shown as shown  # noqa: PLC0415 - the other verbs start faster
    from headrace.evidence.comparison import compare as compared  # noqa: PLC0415 - as above

    known = shown.known_results(fleet)
    old, new = known.find(first), known.find(second)
    found = compared(old, new)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    for line in shown.differing(found):
        typer.echo(line)
    console = Console(highlight=False)
    console.print(
        shown.table(old, new, found.rows) if found.rows else "they have no figure in common"
    )


@app.command()
def keep(
    run: Annotated[Path, typer.Argument(help="A finished run's folder, as `bench` named it.")],
    fleet: Annotated[Path, typer.Argument(help="The fleet file beside which it is kept.")],
    deployment: Annotated[
        str | None, typer.Option("--deployment", "-d", help="Whose; default: the only one.")
    ] = None,
    for_: Annotated[
        list[str] | None,
        typer.Option("--for", help="A setting that the run justifies, such as max_num_seqs."),
    ] = None,
) -> None:
    """Keep a run of `headrace bench` as a result; experiments keep theirs by themselves."""
    from headrace.bench.evidence import evidence  # noqa: PLC0415 - the other verbs start faster
    from headrace.bench.folder import FolderError, read  # noqa: PLC0415 - as above
    from headrace.bench.summary import summarise  # noqa: PLC0415 - as above
    from headrace.bench.validity import judge  # noqa: PLC0415 - as above
    from headrace.evidence import store  # noqa: PLC0415 - as above
    from headrace.planning.standing import settings  # noqa: PLC0415 - as above

    file = load_checked(fleet)
    name = _deployment(file, deployment)
    unknown = [one for one in for_ or () if one not in settings(file.fleet.deployments[name])]
    if unknown:
        hint = nearest(unknown[0], settings(file.fleet.deployments[name]))
        raise typer.BadParameter(f"{name} has no setting '{unknown[0]}'{hint}")
    try:
        damage: list[str] = []
        found = read(run, damage)
        if damage:
            raise store.EvidenceError(f"{damage[0]}; a result is of a whole run")
        summary = summarise(found)
        one = evidence(found, summary, judge(found, summary), name, for_ or ())
    except FolderError as error:
        raise store.EvidenceError(str(error)) from error
    except ValueError as error:
        raise store.EvidenceError(f"{run}: {error}") from error
    typer.echo(str(store.keep(file.path, one)))
    for doubt in one.doubts:
        typer.echo(f"headrace: warning: {doubt}", err=True)
    if not one.valid:
        typer.echo("headrace: warning: it is not valid, so nothing will rest on it", err=True)


@app.command()
def schema(
    markdown: Annotated[bool, typer.Option("--markdown", help="For readers.")] = False,
) -> None:
    """Print the JSON schema of a result's file, or its reference."""
    from headrace.evidence import reference  # noqa: PLC0415 - the other verbs start faster

    text = (
        reference.evidence_reference()
        if markdown
        else json.dumps(reference.evidence_schema(), indent=2) + "\n"
    )
    typer.echo(text, nl=False)


def _deployment(file: FleetFile, name: str | None) -> str:
    names = list(file.fleet.deployments)
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        said = f"'{name}'{nearest(name, names)}" if name else f"nobody said which: {names}"
        raise typer.BadParameter(f"{file.path}: no deployment, {said}", param_hint="--deployment")
    return name
