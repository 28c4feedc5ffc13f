"""`headrace evidence list|show|compare|keep|schema`: what was measured, and whether it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.files import load_checked
from headrace.evidence import store
from headrace.evidence.comparison import Comparison, Row
from headrace.evidence.comparison import compare as compared
from headrace.evidence.fingerprint import Fingerprint, differences
from headrace.evidence.reference import evidence_reference, evidence_schema
from headrace.evidence.result import Evidence
from headrace.evidence.store import EvidenceError, Known, evidence_folder, load_folder
from headrace.evidence.words import amount, figure, lines
from headrace.fleet.load import FleetFile
from headrace.fleet.problems import FleetError, nearest
from headrace.models.errors import WeightsError
from headrace.planning.calibrations import Calibration, Calibrations
from headrace.planning.errors import PlanError
from headrace.planning.settled import settled
from headrace.planning.standing import Grounds, settings

app = typer.Typer(help="Show what was measured, and whether it holds.", no_args_is_help=True)

FleetOption = Annotated[
    Path | None,
    typer.Option("--fleet", "-f", help="The fleet file; default: all results in this folder."),
]
IdArgument = Annotated[str, typer.Argument(help="A result's id, or the beginning of its digest.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_NONE = "nothing was measured yet; `headrace experiment baseline {}` is where to begin"
_NOT_VALID = "not valid"


@app.command("list")
def list_(
    fleet: Annotated[
        Path | None, typer.Argument(help="The fleet file; default: all results in this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List all results, the newest last; of a fleet file also whether each holds for it now."""
    known = _known(fleet)
    now = _now(load_checked(fleet), known.results) if fleet else {}
    calibrations = _calibrations(fleet)
    if as_json:
        for one in known.results:
            typer.echo(msgspec.json.encode({**_plain(one), "now": now.get(one.id)}))
        for calibration in calibrations:
            typer.echo(msgspec.json.encode({"calibration": msgspec.to_builtins(calibration)}))
        return
    for one in known.results:
        _list(one, now.get(one.id))
    for calibration in calibrations:
        typer.echo(f"calibration {calibration.fitted}, {calibration.model}")
        typer.echo(f"    {calibration.efficiency.label}, {calibration.requests} requests")
    if not known.results and not calibrations:
        typer.echo(_NONE.format(fleet or "FLEET"))


def _list(one: Evidence, now: str | None) -> None:
    """Print a result's id with how good it is, its answer, and why it is not valid."""
    held = now or ("" if one.valid else _NOT_VALID)
    many = len(one.doubts)
    doubts = f"{many} doubt{'s' * (many > 1)}" if many else ""
    typer.echo("  ".join(filter(None, (one.id, ", ".join(filter(None, (held, doubts)))))))
    typer.echo(f"    {one.conclusion[0] if one.conclusion else 'no conclusion'}")
    for doubt in () if one.valid else one.doubts:
        typer.echo(f"    doubt: {doubt}")


@app.command()
def show(id_: IdArgument, fleet: FleetOption = None, as_json: Json = False) -> None:
    """Show one result: its conclusion, its figures, and what they are of."""
    one = _known(fleet).find(id_)
    if as_json:
        typer.echo(msgspec.json.encode(_plain(one)))
        return
    for line in lines(one):
        typer.echo(line)


@app.command()
def compare(
    first: IdArgument, second: IdArgument, fleet: FleetOption = None, as_json: Json = False
) -> None:
    """Compare two results: first in what they were of different things, then their figures."""
    known = _known(fleet)
    old, new = known.find(first), known.find(second)
    found = compared(old, new)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    for line in _differences(found):
        typer.echo(line)
    console = Console(highlight=False)
    console.print(_table(old, new, found.rows) if found.rows else "they have no figure in common")


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
            raise EvidenceError(f"{damage[0]}; a result is of a whole run")
        summary = summarise(found)
        one = evidence(found, summary, judge(found, summary), name, for_ or ())
    except FolderError as error:
        raise EvidenceError(str(error)) from error
    except ValueError as error:
        raise EvidenceError(f"{run}: {error}") from error
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
    text = evidence_reference() if markdown else json.dumps(evidence_schema(), indent=2) + "\n"
    typer.echo(text, nl=False)


def _deployment(file: FleetFile, name: str | None) -> str:
    names = list(file.fleet.deployments)
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        said = f"'{name}'{nearest(name, names)}" if name else f"nobody said which: {names}"
        raise typer.BadParameter(f"{file.path}: no deployment, {said}", param_hint="--deployment")
    return name


def _known(fleet: Path | None) -> Known:
    """Return the results of a fleet file, or of all in this folder; say what is damaged."""
    if fleet is not None and not fleet.exists():
        raise EvidenceError(f"{fleet}: there is no such fleet file")
    folders = [evidence_folder(fleet)] if fleet else sorted(Path().glob("*.evidence"))
    found = [load_folder(folder) for folder in folders]
    for known in found:
        for message in known.damaged:
            typer.echo(f"headrace: warning: {message}", err=True)
    results = sorted((one for known in found for one in known.results), key=lambda one: one.taken)
    where = folders[0] if len(folders) == 1 else Path()
    return Known(where, tuple(results))


def _calibrations(fleet: Path | None) -> Sequence[Calibration]:
    suffix = ".calibration.json"
    paths = sorted(Path().glob(f"*{suffix}")) if fleet is None else []
    fleets = (
        [fleet] if fleet else [Path(f"{str(path).removesuffix(suffix)}.yaml") for path in paths]
    )
    return [one for path in fleets for one in Calibrations.beside(path).known]


def _plain(one: Evidence) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(one)
    return plain


def _now(file: FleetFile, results: Sequence[Evidence]) -> dict[str, str]:
    """Return by id whether a result holds for its deployment as the file has it.

    Nothing where the file cannot be settled: why, is said on standard error.
    """
    try:
        whole = settled(file).file
    except (FleetError, PlanError, WeightsError) as error:
        typer.echo(f"headrace: warning: nothing is said of now: {error}", err=True)
        return {}
    known = whole.fleet.deployments
    prints = {
        name: Grounds(whole, name, known[name]).fingerprint
        for name in {one.deployment for one in results} & set(known)
    }
    return {one.id: _held(one, prints.get(one.deployment)) for one in results}


def _held(one: Evidence, now: Fingerprint | None) -> str:
    if now is None:
        return f"the file has no deployment {one.deployment} any more"
    if not one.variants:
        return "says not of what it is"
    if not one.valid:
        return _NOT_VALID
    least = min((differences(it.fingerprint, now) for it in one.variants), key=len)
    return f"stale: {'; '.join(least)}" if least else "holds"


def _differences(found: Comparison) -> Iterator[str]:
    yield f"settings: {'; '.join(found.setting) or 'the same'}"
    yield f"workloads: {'; '.join(found.workload) or 'the same'}"
    if found.workload:
        yield "  they were asked different things, so figures differ for that reason too"
    yield from (f"  only there: {one}" for one in found.alone)
    yield ""


def _table(old: Evidence, new: Evidence, rows: Sequence[Row]) -> Table:
    table = Table("", old.id.rpartition("-")[2], new.id.rpartition("-")[2], "", "", box=None)
    last = ""
    for row in rows:
        if row.variant != last:
            table.add_row(row.variant, style="bold")
            last = row.variant
        table.add_row(f"  {row.name}", *_cells(row))
    return table


def _cells(row: Row) -> Iterator[str]:
    for one in (row.first, row.second):
        yield figure(one) if one else "-"
    yield "" if row.ratio is None else f"x {amount(row.ratio, '')}"
    yield row.verdict or ""
