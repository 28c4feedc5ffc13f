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


def usage(
    fleet: FleetArgument = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
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
    Console().print(_table(found))


def _table(found: list[Used]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in ("requests/min", "tokens/min", "at once", "today", "30 days", "beyond today"):
        table.add_column(heading, justify="right")
    for used in found:
        minute = used.minute
        table.add_row(
            f"{used.subject}{_mode(used)}",
            _rate(minute.requests, used.requests),
            _rate(minute.prompt + minute.completion, used.tokens),
            _places(used),
            _sums(used.today),
            _sums(used.month),
            f"{used.today.beyond:,}",
        )
    return table


def _mode(used: Used) -> str:
    return " (count only)" if used.limits and not used.limits.enforce else ""


def _rate(used: int, left: Left | None) -> str:
    return f"{used:,}" if left is None else f"{used:,} ({left.remaining:,} of {left.limit:,} left)"


def _places(used: Used) -> str:
    most = used.limits.concurrency if used.limits else None
    return "" if most is None else f"{used.running} of {most:,}"


def _sums(sums: Sums) -> str:
    return f"{sums.requests:,}: {sums.prompt:,} in, {sums.completion:,} out"
