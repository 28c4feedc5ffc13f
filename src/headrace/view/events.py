"""What happens in a fleet, one event at a time: for people, and for files of JSON lines.

Whatever has something to say calls an `Emit`; `display.py` shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
    """`subject`: a replica, a deployment, `gateway` or the fleet; `at`: a Unix time in seconds.

    `told`: a replica ended, or answered nothing, as one does that somebody else told to stop.
    """

    at: float
    kind: Kind
    subject: str
    text: str
    seconds: float | None = None
    told: bool = False


Emit = Callable[[Event], None]


def event(
    kind: Kind, subject: str, text: str, seconds: float | None = None, *, told: bool = False
) -> Event:
    """Return an event that happens now."""
    return Event(at=time.time(), kind=kind, subject=subject, text=text, seconds=seconds, told=told)
