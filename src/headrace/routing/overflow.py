"""Where a request goes when its own deployment cannot serve it well, if its route allows that.

Pure: the caller tells how the deployments stand and carries the landing out. It asks at arrival,
once a second while the request waits, and after a replica broke before the first byte; one request
after the other, each with fresh states, or a whole queue would move for one free place.
`variants.py` picked the deployment to begin with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from headrace.routing.route import Cause, Overflow, Route


@dataclass(frozen=True, slots=True)
class State:
    """How a deployment stands: `ready` says that a replica is, `starting` that one will be.

    `wait` is the expected time in seconds until this request would be taken, the rest of a start
    included (None: nobody knows); `context` is in tokens (None: not known, and then no obstacle).
    `down` says that it does not start, or that its replicas broke.
    """

    ready: bool
    starting: bool = False
    wait: float | None = 0.0
    context: int | None = None
    down: bool = False


class Needs(NamedTuple):
    """What a request needs: `prompt` tokens, and `output` tokens where it names a bound.

    The count of the prompt may be wrong by the share `margin` either way; 0 where it is exact. It
    has `waited` so many seconds; `broke` says that the replica it was sent to failed.
    """

    prompt: int
    output: int | None = None
    margin: float = 0.0
    waited: float = 0.0
    broke: bool = False


class Landing(NamedTuple):
    """Where a request goes; `cause` is None where it stays, else `why` has the words for it."""

    deployment: str
    cause: Cause | None = None
    why: str = ""


class Fit(IntEnum):
    """Whether prompt and answer fit in a context: an estimate can be too near the bound."""

    NO = 0
    PERHAPS = 1
    YES = 2


def land(
    route: Route,
    current: str,
    states: Mapping[str, State],
    needs: Needs,
    left: tuple[str, ...] = (),
) -> Landing:
    """Return where a request of `route` that is at the deployment `current` should be.

    `left` are the deployments that overflow has taken it from, in their order: it returns to none
    of them, but once to the first, its own, when the one that it fled to is down. A deployment
    without a state serves nothing.
    """
    own = states.get(current, _NOTHING)
    for overflow in _ways(route, current, left):
        for cause in overflow.when:
            why = _reason(cause, overflow, own, needs)
            target = states.get(overflow.deployment, _NOTHING)
            if why and _better(cause, own, target, needs):
                return Landing(overflow.deployment, cause, f"{current} {why}")
    return Landing(current)


def fit(needs: Needs, context: int | None) -> Fit:
    """Return whether a request fits: prompt and answer, or one token where it names no bound.

    PERHAPS says that only an exact count of the prompt could tell.
    """
    if context is None:
        return Fit.YES
    room = context - (1 if needs.output is None else needs.output)
    error = int(needs.prompt * needs.margin)
    if needs.prompt + error <= room:
        return Fit.YES
    return Fit.PERHAPS if needs.prompt - error <= room else Fit.NO


_NOTHING = State(ready=False, wait=None, down=True)


def _ways(route: Route, current: str, left: tuple[str, ...]) -> Iterator[Overflow]:
    for overflow in route.overflow:
        if overflow.deployment != current and overflow.deployment not in left:
            yield overflow
    if left and left[0] != current and left.count(left[0]) == 1:
        yield Overflow(left[0], ("down",))


def _better(cause: Cause, own: State, target: State, needs: Needs) -> bool:
    """Whether the target can serve, and better than what it would relieve.

    Going where the request only perhaps fits is better than staying where it does not, but no
    reason to leave a place where it perhaps fits as well.
    """
    if target.down or not target.ready:
        return False
    ours, theirs = fit(needs, own.context), fit(needs, target.context)
    if cause == "context":
        return theirs > ours
    if theirs is Fit.NO or theirs < ours:
        return False
    return cause == "down" or _wait(target) < _remaining(own, needs)


def _wait(state: State) -> float:
    return math.inf if state.wait is None else state.wait


def _remaining(own: State, needs: Needs) -> float:
    """Return the seconds still to wait; where nobody knows, as many again while one is ready."""
    if own.wait is None:
        return needs.waited if own.ready else math.inf
    return own.wait


def _reason(cause: Cause, overflow: Overflow, own: State, needs: Needs) -> str:
    """Return in words why the cause holds, empty where it does not."""
    match cause:
        case "down":
            return _down(own, needs)
        case "cold":
            return "" if own.ready or _down(own, needs) else _cold(own)
        case "context":
            return _too_long(own, needs)
        case "queue":
            return _long_wait(own, needs, overflow.after) if own.ready else ""


def _down(own: State, needs: Needs) -> str:
    if own.down:
        return "is down"
    return "has no ready replica left: the one that had it broke" * (needs.broke and not own.ready)


def _cold(own: State) -> str:
    return "has no ready replica yet" if own.starting else "has no replica"


def _too_long(own: State, needs: Needs) -> str:
    fits = fit(needs, own.context)
    if fits is Fit.YES:
        return ""
    answer = "the answer" if needs.output is None else f"{needs.output} of the answer"
    about = "about " if needs.margin else ""
    verb = "may not" if fits is Fit.PERHAPS else "cannot"
    tokens = f"{about}{needs.prompt} tokens of prompt and {answer}"
    return f"{verb} fit {tokens} in its context of {own.context}"


def _long_wait(own: State, needs: Needs, after: float) -> str:
    wait = needs.waited + (own.wait or 0.0)
    return f"would take {wait:.0f} s to begin, longer than {after:g} s" if wait > after else ""
