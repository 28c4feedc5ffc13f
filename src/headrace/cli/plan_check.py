"""`headrace plan --check`: the plan of each deployment held against what its engine said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console

from headrace.cli.running import find_fleet
from headrace.local.errors import LocalError

if TYPE_CHECKING:
    from headrace.planning.check import Check
    from headrace.planning.plan import Plan

RUNNING = "running"
"""Instead of a log's path: the log of a replica of the fleet."""


def show_checks(file: Path, plans: Sequence[Plan], log: str, *, as_json: bool) -> bool:
    """Print how each plan compares with a log; return whether all assumptions held."""
    from headrace.planning.check import check  # noqa: PLC0415 - spares the other verbs numpy
    from headrace.planning.check_log import read_log  # noqa: PLC0415 - as above

    if log != RUNNING and len(plans) > 1:
        names = ", ".join(plan.name for plan in plans)
        raise LocalError(f"{log} is the log of one replica: say whose with -d ({names})")
    found = [
        check(plan.fit, read_log(_log(file, plan.name, log)), plan.subject.engine) for plan in plans
    ]
    for one in found:
        _show(one, as_json=as_json)
    return all(one.good for one in found)


def _show(found: Check, *, as_json: bool) -> None:
    from headrace.planning.check_page import check_page  # noqa: PLC0415 - as above

    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        Console(highlight=False).print(check_page(found))


def _log(file: Path, deployment: str, log: str) -> Path:
    if log != RUNNING:
        return Path(log)
    folder = find_fleet(file).logs
    logs = sorted(folder.glob(f"{deployment}-*.log"))
    if not logs:
        raise LocalError(f"no replica of {deployment} has a log in {folder}; is the fleet up?")
    return logs[0]
