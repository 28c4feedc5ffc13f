"""What `headrace evidence` says of results: the lines of its list, and tables that compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.table import Table

from headrace.diagnosis.words import count
from headrace.evidence.comparison import Comparison, Row
from headrace.evidence.result import Evidence
from headrace.evidence.store import EvidenceError, Known, evidence_folder, load_folder
from headrace.evidence.words import amount, figure
from headrace.fleet.load import FleetFile
from headrace.fleet.problems import FleetError
from headrace.models.errors import WeightsError
from headrace.planning.calibrations import Calibration, Calibrations
from headrace.planning.errors import PlanError
from headrace.planning.settled import settled
from headrace.planning.standing import Beside, Grounds

_NOT_VALID = "not valid"


def known_results(fleet: Path | None) -> Known:
    """Return the results of a fleet file, or of all in this folder; say what is damaged."""
    if fleet is not None and not fleet.exists():
        raise EvidenceError(f"{fleet}: there is no such fleet file")
    folders = [evidence_folder(fleet)] if fleet else sorted(Path().glob("*.evidence"))
    found = [load_folder(folder) for folder in folders]
    for known in found:
        for message in known.damaged:
            typer.echo(f"headrace: warning: {message}", err=True)
    results = sorted((one for known in found for one in known.results), key=lambda one: one.taken)
    where = folders[0] if len(folders) == 1 else Path.cwd()
    return Known(where, tuple(results))


def calibrations(fleet: Path | None) -> Sequence[Calibration]:
    """Return the calibrations beside a fleet file, or beside all in this folder."""
    suffix = ".calibration.json"
    paths = sorted(Path().glob(f"*{suffix}")) if fleet is None else []
    fleets = (
        [fleet] if fleet else [Path(f"{str(path).removesuffix(suffix)}.yaml") for path in paths]
    )
    return [one for path in fleets for one in Calibrations.beside(path).known]


def plain(one: Evidence) -> dict[str, Any]:
    """Return a result as programs read it."""
    found: dict[str, Any] = msgspec.to_builtins(one)
    return found


def as_now(file: FleetFile, results: Sequence[Evidence]) -> dict[str, str]:
    """Return by id whether a result holds for its deployment as the file has it.

    Nothing where the file cannot be settled: why, is said on standard error.
    """
    try:
        whole = settled(file).file
    except (FleetError, PlanError, WeightsError) as error:
        typer.echo(f"headrace: warning: nothing is said of now: {error}", err=True)
        return {}
    known, beside = whole.fleet.deployments, Beside(whole.path)
    grounds = {
        name: Grounds(whole, name, known[name], beside)
        for name in {one.deployment for one in results} & set(known)
    }
    return {one.id: _held(one, grounds.get(one.deployment)) for one in results}


def _held(one: Evidence, now: Grounds | None) -> str:
    if now is None:
        return f"the file has no deployment {one.deployment} any more"
    if not one.variants:
        return "says not of what it is"
    if not one.valid:
        return _NOT_VALID
    why = now.why_stale(one)
    return f"stale: {'; '.join(why)}" if why else "holds"


def differing(found: Comparison) -> Iterator[str]:
    """Yield in what two results were of different things."""
    yield f"settings: {'; '.join(found.setting) or 'the same'}"
    yield f"workloads: {'; '.join(found.workload) or 'the same'}"
    if found.workload:
        yield "  they were asked different things, so figures differ for that reason too"
    yield from (f"  only there: {one}" for one in found.alone)
    yield ""


def table(old: Evidence, new: Evidence, rows: Sequence[Row]) -> Table:
    """Return the figures of two results side by side."""
    shown = Table("", old.id.rpartition("-")[2], new.id.rpartition("-")[2], "", "", box=None)
    last = ""
    for row in rows:
        if row.variant != last:
            shown.add_row(row.variant, style="bold")
            last = row.variant
        shown.add_row(f"  {row.name}", *_cells(row))
    return shown


def _cells(row: Row) -> Iterator[str]:
    for one in (row.first, row.second):
        yield figure(one) if one else "-"
    yield "" if row.ratio is None else f"x {amount(row.ratio, '')}"
    yield row.verdict or ""


def say(one: Evidence, now: str | None) -> None:
    """Print a result's id with how good it is, its answer, and why it is not valid."""
    held = now or ("" if one.valid else _NOT_VALID)
    doubts = count(len(one.doubts), "doubt") if one.doubts else ""
    typer.echo("  ".join(filter(None, (one.id, ", ".join(filter(None, (held, doubts)))))))
    typer.echo(f"    {one.conclusion[0] if one.conclusion else 'no conclusion'}")
    for doubt in () if one.valid else one.doubts:
        typer.echo(f"    doubt: {doubt}")
