"""`headrace request ID`: what happened to one request, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from headrace.cli.story import tell
from headrace.fleet.home import state_root
from headrace.gateway import history
from headrace.local.errors import LocalError
from headrace.local.state import StateDir

SOME = 3
"""Ids that are named where more letters are needed."""


def request(
    id: Annotated[  # noqa: A002 - the user's word
        str, typer.Argument(help="The x-request-id of the answer, or how it begins.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs, a line for each.")] = False,
) -> None:
    """Tell the story of one request: its route, replica, waits, tokens, and how it ended.

    Copies for a shadow deployment follow, as do other requests to which a client gave this id.
    """
    found = list(_find(id))
    if not found:
        raise LocalError(
            f"no request '{id}' in the records under {state_root()}; a record is written when "
            "the request has ended, and the oldest are forgotten"
        )
    others = sorted({one.record.shadow_of or one.record.id for one in found})
    if len(others) > 1:
        some = ", ".join(others[:SOME]) + (", …" if len(others) > SOME else "")
        raise LocalError(f"{len(others)} requests begin with '{id}'; give more letters: {some}")
    for number, one in enumerate(found):
        if number and not as_json:
            typer.echo()
        for line in [one.raw] if as_json else tell(one.record):
            typer.echo(line)


def _find(wanted: str) -> Iterator[history.Found]:
    """Yield what the stores of all fleets have of it, those that are down included."""
    for folder in sorted(state_root().glob("*/")):
        store = StateDir(folder).requests
        if store.exists():
            yield from history.by_id(store, wanted)
