"""How a deployment moves from one revision to another, one replica at a time: data in, data out.

One surge replica is started beside those that serve; when it has proved itself one of the leaving
ones drains, and so on until none is left. What ready means and whether the new ones are good enough
is decided elsewhere (`startup.py`, `rollout_judge.py`); `rollout_move.py` carries this out. The way
back is the same with the roles exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Stage = Literal["surge", "watch", "drain", "done"]


@dataclass(frozen=True, slots=True)
class Side:
    """Replicas of one revision: `active` start or serve, `present` includes those that leave."""

    ready: int = 0
    active: int = 0
    present: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A deployment as it is; `desired` comes from its scaling rules and may change at any time."""

    desired: int
    leaving: Side
    coming: Side


@dataclass(frozen=True, slots=True)
class Counts:
    """How many replicas of each revision there should be."""

    leaving: int
    coming: int


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the move is; `trusted` coming replicas have passed, `since` is in seconds.

    `back` means that what leaves has proved bad, so none of it is started again.
    """

    stage: Stage = "surge"
    trusted: int = 0
    since: float = 0.0
    back: bool = False


def returning(seen: Seen, now: float) -> Shift:
    """Return the start of the way back; `seen.coming` is the revision that is brought back."""
    return Shift(stage="drain", trusted=seen.coming.active, since=now, back=True)


def wanted(shift: Shift, seen: Seen) -> Counts:
    """Return the counts that this stage asks for.

    Until a new replica is trusted the old ones are kept at the desired count, crashed ones started
    again. From then on old ones only become fewer, and what is missing is started new; never are
    more old ones told to leave than trusted new ones are ready in their place.
    """
    if shift.stage == "done":
        return Counts(0, seen.desired)
    if shift.trusted == 0:
        leaving = min(seen.desired, seen.leaving.active) if shift.back else seen.desired
        return Counts(leaving, seen.desired - leaving + 1)
    in_place = min(shift.trusted, seen.coming.ready)
    leaving = max(0, min(seen.leaving.active, seen.desired - in_place))
    surge = 1 if leaving and shift.stage != "drain" else 0
    return Counts(leaving, seen.desired - leaving + surge)


def advance(shift: Shift, seen: Seen, now: float, watch: float) -> Shift:
    """Return the next stage when this one is over, else the same; `watch` is in seconds."""
    counts = wanted(shift, seen)
    complete = seen.coming.ready >= counts.coming
    match shift.stage:
        case "surge" if complete and watch > 0 and seen.desired > 0:
            return replace(shift, stage="watch", since=now)
        case "surge" if complete:
            return _trust(shift, seen, now)
        case "watch" if not complete:
            return replace(shift, stage="surge", since=now)
        case "watch" if now - shift.since >= watch:
            return _trust(shift, seen, now)
        case "drain" if complete and seen.leaving.present <= counts.leaving:
            stage: Stage = "surge" if counts.leaving else "done"
            return replace(shift, stage=stage, since=now)
        case _:
            return shift


def _trust(shift: Shift, seen: Seen, now: float) -> Shift:
    return replace(shift, stage="drain", trusted=max(1, seen.coming.ready), since=now)
