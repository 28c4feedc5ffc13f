"""`headrace starts`: what starts of replicas took, phase by phase, and what makes them shorter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.cli.cluster import ContextOption, connected
from headrace.cli.render import NamespaceOption
from headrace.cli.running import FleetArgument, find_fleet
from headrace.diagnosis.words import count
from headrace.fleet.load import load_fleet
from headrace.local.errors import LocalError
from headrace.local.state import holder
from headrace.starts import ledger
from headrace.starts.start import Start
from headrace.starts.summary import Spread, Summary, subject_of, summaries
from headrace.starts.words import by_name, sentences, shown

_NARROW = 72
"""Columns below which a table of single starts would fold its words letter by letter."""
_SHOWN = 0.1
"""Seconds from which preparation before a start is told."""
_WHERE = {"local": "on this machine", "kubernetes": "on Kubernetes"}


def starts(
    fleet: FleetArgument = None,
    last: Annotated[int, typer.Option(min=0, help="Single starts to show, the newest.")] = 5,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Add them to FLEET's .starts.jsonl, for plans elsewhere."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; all starts.")] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="First learn of the starts of FLEET's Pods in a cluster."),
    ] = False,
    *,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Show percentiles of every start that was recorded, by phase, and what takes the time."""
    if (namespace or context) and not cluster:
        raise typer.BadParameter("--namespace and --context go with --cluster")
    if cluster and fleet is None:
        raise typer.BadParameter("--cluster needs the fleet file")
    name, file = _meant(fleet)
    if cluster:
        asyncio.run(_learn(file, namespace, context))
    found = ledger.of_fleet(name, file)
    if not found.starts:
        _say_damage(found)
        raise LocalError(
            f"no start of fleet '{name}' has been recorded: `headrace up {file}` records them in"
            f" {ledger.running_path(name, file)}"
        )
    if keep:
        _keep(file, found.starts)
    if as_json:
        groups = [msgspec.to_builtins(_plain(one)) for one in summaries(found.starts)]
        told = {"summaries": groups, "starts": found.starts, "damage": found.damage}
        typer.echo(msgspec.json.encode(told))
        return
    _print(found, last)


def _meant(fleet: Path | None) -> tuple[str, Path]:
    """Return the fleet's name and file; the one that is up where none is given."""
    if fleet is not None:
        return load_fleet(fleet).fleet.fleet, fleet
    who = holder(find_fleet(None))
    if who is None:
        raise LocalError("the fleet has just ended; name its file")
    return who.fleet, Path(who.file)


async def _learn(file: Path, namespace: str | None, context: str | None) -> None:
    """Add what a cluster tells of starts to this machine's ledger."""
    from headrace.kubernetes.read_starts import read_starts  # noqa: PLC0415 - other verbs start faster

    fleet = load_fleet(file).fleet
    async with connected(context) as talking:
        found, notes = await read_starts(talking, namespace or fleet.fleet, fleet)
    for note in notes:
        typer.echo(f"headrace: {note}", err=True)
    _merge(ledger.running_path(fleet.fleet, file), found)


def _merge(path: Path, found: Iterable[Start]) -> int:
    try:
        return ledger.merge(path, found)
    except ValueError as error:
        raise LocalError(str(error)) from error
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror or error}") from error


def _keep(file: Path, found: Iterable[Start]) -> None:
    real = [start for start in found if not start.emulated]
    path = ledger.kept_path(file)
    added = _merge(path, real)
    typer.echo(f"{path}: added {added}; starts of twins are never kept", err=True)


def _print(found: ledger.Ledger, last: int) -> None:
    console = Console(highlight=False)
    for summary in summaries(found.starts):
        own = [one for one in found.starts if subject_of(one) == summary.subject]
        console.print(Text(_headline(summary), style="bold"))
        if summary.phases:
            console.print(_phases(summary))
        for sentence in sentences(summary, own):
            console.print(Text(f"  {sentence}"))
        console.print()
    if last:
        console.print(_last(found.starts[-last:], console.width))
    _say_damage(found)


def _say_damage(found: ledger.Ledger) -> None:
    for sentence in found.damage:
        typer.echo(f"headrace: {sentence}", err=True)


def _headline(summary: Summary) -> str:
    subject = summary.subject
    twins = "twins of " if subject.emulated else ""
    what = f"{twins}{subject.engine} {subject.version} with {subject.model}"
    counts = f"{summary.ready} ready, {summary.failed} failed, {summary.stopped} stopped"
    when = " to ".join(dict.fromkeys((summary.first[:10], summary.last[:10])))
    where = _WHERE[subject.runtime]
    return f"{subject.deployment}: {what} on {subject.hardware}, {where}; {counts}, {when}"


def _phases(summary: Summary) -> Table:
    table = _table("seconds", ("p50", "p90", "p99", "longest", "starts"))
    for name, spread in shown(by_name(summary)):
        figures = (spread.p50, spread.p90, spread.p99, spread.longest)
        table.add_row(name, *(f"{figure:.1f}" for figure in figures), str(spread.count))
    return table


def _last(found: Sequence[Start], width: int) -> RenderableType:
    """Return the single starts as a table; where that has no room, a line for each."""
    rows = [tuple(_cells(start)) for start in found]
    if width < _NARROW:
        return Text("\n".join("  ".join(filter(None, row)) for row in rows))
    table = _table("began (UTC)", ("seconds",))
    for heading in ("replica", "", ""):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(start: Start) -> Iterator[str]:
    yield start.began[:19]
    yield f"{start.total:.1f}"
    yield start.id.partition("@")[0]
    yield start.outcome if start.outcome == "ready" else f"{start.outcome} {start.ended_in}"
    yield _about(start)


def _about(start: Start) -> str:
    before = start.total - start.lead
    words = {
        f"{before:.1f} s of it before that, preparing": before >= _SHOWN,
        "a twin": start.emulated,
        "weights fetched": start.fetched,
        "again": start.restart,
        f"beside {count(start.beside, 'other')}": start.beside,
        f"{start.resident or 0:.0%} of the weights in memory": start.resident is not None,
    }
    return ", ".join(word for word, holds in words.items() if holds)


def _table(first: str, numbers: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _plain(summary: Summary) -> dict[str, object]:
    return {
        **summary.subject._asdict(),
        "ready": summary.ready,
        "failed": summary.failed,
        "stopped": summary.stopped,
        "first": summary.first,
        "last": summary.last,
        "seconds": {name: _rounded(spread) for name, spread in by_name(summary)},
    }


def _rounded(spread: Spread) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(spread).items()}
