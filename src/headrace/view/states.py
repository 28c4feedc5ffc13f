"""The life of a replica as data: which states there are, and which may follow which.

`replica.py` walks it; `reconcile.py` counts by it; `headrace status` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a replica stands."""

    STARTING = "starting"
    """The process runs and does not answer yet."""
    PROBING = "probing"
    """It answers, or did until a moment ago; the known prompt decides."""
    READY = "ready"
    """It answered rightly: the gateway sends it work."""
    DRAINING = "draining"
    """It gets nothing new and finishes what it has."""
    LEAVING = "leaving"
    """Its time to finish is over: what it still has moves to other replicas."""
    STOPPING = "stopping"
    """It was told to end."""
    WRONG = "wrong"
    """It answered wrongly: it never gets work, and is stopped."""
    CRASHED = "crashed"
    """It ended by itself, or did not get ready in time."""
    GONE = "gone"
    """Nothing of it is left."""


S = State
NEXT: Mapping[State, frozenset[State]] = {
    S.STARTING: frozenset({S.PROBING, S.STOPPING, S.CRASHED}),
    S.PROBING: frozenset({S.READY, S.WRONG, S.STOPPING, S.CRASHED}),
    S.READY: frozenset({S.PROBING, S.DRAINING, S.STOPPING, S.WRONG, S.CRASHED}),
    S.DRAINING: frozenset({S.LEAVING, S.STOPPING, S.CRASHED}),
    S.LEAVING: frozenset({S.STOPPING, S.CRASHED}),
    S.STOPPING: frozenset({S.GONE}),
    S.WRONG: frozenset({S.GONE}),
    S.CRASHED: frozenset({S.GONE}),
    S.GONE: frozenset(),
}
"""Every step a replica may take."""
