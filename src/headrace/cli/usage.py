"""`headrace usage`: what each key, route and tenant used, and what it has left."""

from __future__ import annotations

import sqlite3
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from headrace.cli.running import FleetArgument, find_fleet
from headrace.ledger.file import Sums
from headrace.ledger.report import Used, read_usage
from headrace.local.errors import LocalError
from headrace.routing.allowance import Left

_EXACT = 10_000
"""Smaller numbers are written out; larger ones with three digits, so that 80 columns are enough."""
_UNITS = (("k", 1000), ("M", 10**6), ("G", 10**9))


def usage(
    fleet: FleetArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; exact numbers.")] = False,
) -> None:
    """Show use in the last minute, today (UTC) and in 30 days, against the limits."""
    path = find_fleet(fleet).usage
    try:
        found = read_usage(path, time.time())
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        why = f"cannot be read ({error})" if path.exists() else "is not there yet"
        raise LocalError(
            f"{path}, where the gateways count use, {why}; they make it when they begin"
        ) from error
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    console = Console(highlight=False)
    console.print(_now(found))
    if any(_counts_only(used) for used in found):
        console.print("* its limits are only counted: nothing is refused")
    console.print()
    console.print(_sums(found))


def _now(found: list[Used]) -> Table:
    table = _table("last minute", ("requests", "left", "tokens", "left", "at once"))
    for used in found:
        minute = used.minute
        table.add_row(
            f"{used.subject} *" if _counts_only(used) else used.subject,
            short(minute.requests),
            _left(used.requests),
            short(minute.prompt + minute.completion),
            _left(used.tokens),
            _places(used),
        )
    return table


def _sums(found: list[Used]) -> Table:
    tokens = ("in", "out", "beyond")
    table = _table("requests, tokens", ("today", *tokens, "30 days", *tokens))
    for used in found:
        table.add_row(used.subject, *_cells(used.today), *_cells(used.month))
    return table


def _table(first: str, headings: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _counts_only(used: Used) -> bool:
    return used.limits is not None and not used.limits.enforce


def short(number: int) -> str:
    """Write a number in six characters at most, up to 999 billions: `9,999`, `12.3k`, `1.5M`."""
    if number < _EXACT:
        return f"{number:,}"
    scaled = [(float(f"{number / size:.3g}"), unit) for unit, size in _UNITS]
    value, unit = next((one for one in scaled if one[0] < 1000), scaled[-1])  # noqa: PLR2004
    return f"{value:g}{unit}"


def _left(left: Left | None) -> str:
    return "" if left is None else f"{short(left.remaining)} of {short(left.limit)}"


def _places(used: Used) -> str:
    most = used.limits.concurrency if used.limits else None
    return "" if most is None else f"{used.running} of {short(most)}"


def _cells(sums: Sums) -> tuple[str, str, str, str]:
    numbers = (sums.requests, sums.prompt, sums.completion, sums.beyond)
    return short(numbers[0]), short(numbers[1]), short(numbers[2]), short(numbers[3])
