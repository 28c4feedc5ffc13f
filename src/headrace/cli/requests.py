"""`headrace requests`: the latest requests of a fleet, or the slowest, or those that failed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.running import FleetArgument, find_fleet
from headrace.cli.story import seconds
from headrace.fleet.units import parse_duration
from headrace.gateway import history
from headrace.gateway.history import Found, Wanted
from headrace.gateway.records import Record
from headrace.local.errors import LocalError

POLL = 0.5
"""Seconds between looks for new requests, as often as gateways write them."""
NAMES = ("ended", "request", "route", "replica", "outcome", "waited", "ttft", "total", "tokens")
NARROW = (8, 12, 9, 9, 17, 6, 6, 6)
"""Widths for 80 columns; there is no room for the tokens, in and out."""
WIDE = (8, 12, 11, 15, 18, 6, 6, 6, 0)
"""With spaces between these, the tokens get 30 of 120 characters, and more than 9 of 100."""


def since_option(given: str | None) -> float | None:
    """Return the Unix time that `10m` ago was; LocalError if it is no duration."""
    if given is None:
        return None
    try:
        return time.time() - parse_duration(given)
    except ValueError as error:
        raise LocalError(f"--since {given}: {error}") from error


def requests(  # noqa: PLR0917 - typer passes them by name
    fleet: FleetArgument = None,
    route: Annotated[str | None, typer.Option(help="Of this route.")] = None,
    deployment: Annotated[str | None, typer.Option(help="Served by this deployment.")] = None,
    key: Annotated[str | None, typer.Option(help="Made with the API key of this name.")] = None,
    replica: Annotated[str | None, typer.Option(help="Served by this replica.")] = None,
    slow: Annotated[
        bool, typer.Option("--slow", help="The longest waits for a first token, not the latest.")
    ] = False,
    errors: Annotated[bool, typer.Option("--errors", help="That ended badly.")] = False,
    since: Annotated[str | None, typer.Option(help="That ended within this time: 10m.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="The copies for shadow deployments, and only those.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-F", help="Go on with new ones until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of all there is.")] = False,
) -> None:
    """List requests, the latest last. `headrace request` tells the whole story of one."""
    store = find_fleet(fleet).requests
    wanted = Wanted(
        route=route, deployment=deployment, key=key, replica=replica, slow=slow, errors=errors,
        since=since_option(since), limit=limit, shadow=shadow,
    )  # fmt: skip
    if not as_json:
        typer.echo(_row(NAMES))
    last = _last(store)
    found = _look(store, wanted)
    _show(found if slow else reversed(found), as_json)
    if not found and not follow:
        typer.echo("headrace: no request in the records is like that", err=True)
    if follow:
        shown = {one.n for one in found}  # some may have come after `last` was read
        for one in _new(store, last, replace(wanted, slow=False, since=None, limit=1000)):
            if one.n not in shown:
                _show([one], as_json)


def _look(store: Path, wanted: Wanted) -> list[Found]:
    """Return what there is; before a fleet's first request it has no store."""
    return history.select(store, wanted) if store.exists() else []


def _last(store: Path) -> int:
    return history.last(store) if store.exists() else 0


def _new(store: Path, after: int, wanted: Wanted) -> Iterator[Found]:
    """Yield what comes after that number, for ever; a store that begins anew is read anew."""
    while True:
        for found in sorted(_look(store, replace(wanted, after=after))):
            after = found.n
            yield found
        time.sleep(POLL)
        after = min(after, _last(store))


def _show(found: Iterable[Found], as_json: bool) -> None:
    for one in found:
        typer.echo(one.raw if as_json else line(one.record))


def line(record: Record) -> str:
    """Return a request's row in the table."""
    ended = record.time.timestamp() + record.duration_s
    counts = (record.prompt_tokens, record.completion_tokens)
    cells = (
        time.strftime("%H:%M:%S", time.localtime(ended)),
        record.id[:12],  # as many letters as `headrace request` needs; `…` would be copied too
        record.route or "-",
        record.replica or record.deployment or "-",
        record.error if record.outcome == "refused" and record.error else record.outcome,
        _short(record.held_s + record.queued_s),
        "-" if record.ttft_s is None else _short(record.ttft_s),
        _short(record.duration_s),
    )
    return _row((*cells, "/".join("-" if one is None else str(one) for one in counts)))


def _short(value: float) -> str:
    return seconds(value).replace(" ", "").replace("min", "m")


def _row(cells: Sequence[str]) -> str:
    """Write a row as wide as the terminal; what is no terminal gets it all."""
    space = shutil.get_terminal_size((120, 24)).columns
    widths = WIDE if space >= 100 else NARROW  # noqa: PLR2004 - WIDE says why
    pairs = zip(cells, widths, strict=False)
    return " ".join(_fitted(cell, width) if width else cell for cell, width in pairs).rstrip()


def _fitted(cell: str, width: int) -> str:
    return f"{cell:<{width}}" if len(cell) <= width else f"{cell[: width - 1]}…"
