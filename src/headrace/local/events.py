"""What happens in a running fleet, one event at a time: for people, and for `events.jsonl`.

Everything in this room that has something to say calls an `Emit`; `display.py` shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal[
    "note",
    "started",
    "phase",
    "ready",
    "unhealthy",
    "wrong",
    "crashed",
    "gave-up",
    "stopping",
    "gone",
    "scaled",
    "gateway",
    "serving",
    "rollout",
]
TROUBLE: frozenset[Kind] = frozenset({"unhealthy", "wrong", "crashed", "gave-up"})
"""Kinds that a person should notice."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`subject`: a replica, a deployment, `gateway` or the fleet; `at`: a Unix time in seconds."""

    at: float
    kind: Kind
    subject: str
    text: str
    seconds: float | None = None


Emit = Callable[[Event], None]


def event(kind: Kind, subject: str, text: str, seconds: float | None = None) -> Event:
    """Return an event that happens now."""
    return Event(at=time.time(), kind=kind, subject=subject, text=text, seconds=seconds)


class Journal:
    """A file of JSON lines; over `limit` bytes it becomes `name.1` and a new one begins.

    A disk that is full loses lines, never the fleet.
    """

    def __init__(self, path: Path, limit: int = 16 * 2**20) -> None:
        self._path, self._limit = path, limit
        self.lost = 0

    def write(self, entry: object) -> None:
        """Append one entry."""
        try:
            if self._path.exists() and self._path.stat().st_size > self._limit:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(entry) + b"\n")
        except OSError:
            self.lost += 1
