"""`headrace request ID`: what happened to one request, from the fleet's request log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from headrace.local.errors import LocalError
from headrace.local.state import state_root


def request(
    id: Annotated[str, typer.Argument(help="The x-request-id of the answer.")],  # noqa: A002 - the user's word
) -> None:
    """Show the record of one request: route, replica, waits, tokens, and how it ended."""
    record = next(_records(id), None)
    if record is None:
        raise LocalError(
            f"no request '{id}' in the request logs under {state_root()}; it is written when the "
            "request has ended, and old logs are rotated away"
        )
    width = max(map(len, record))
    for key, value in record.items():
        typer.echo(f"{key:<{width}}  {value}")


def _records(wanted: str) -> Iterator[dict[str, Any]]:
    for log in sorted(state_root().glob("*/requests.jsonl*")):
        yield from _records_in(log, wanted)


def _records_in(log: Path, wanted: str) -> Iterator[dict[str, Any]]:
    needle = wanted.encode()
    with log.open("rb") as lines:
        for line in lines:
            if needle in line:
                record: dict[str, Any] = msgspec.json.decode(line)
                if record.get("id") == wanted:
                    yield record
