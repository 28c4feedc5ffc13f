"""Faults before an engine has the request: a queue at the gateway, somebody's time limit."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.figures import (
    ENOUGH,
    MANY,
    hurts,
    known,
    lost,
    mean,
    median,
    mostly,
    ready,
)
from headrace.diagnosis.finding import Finding, found
from headrace.diagnosis.observation import Observation, Outcome, Request
from headrace.diagnosis.words import count, number, span

QUEUE_ENDS = ("queue_full", "waited_too_long", "would_wait_too_long", "shed")
"""Errors with which a gateway turns requests away because too many wait."""
_SAME = 0.03
"""Times that differ by no more than this are one limit and its jitter, not chance."""
_LONGER = 0.1
"""What outlives a limit by no more than this was noticed late."""
_LEAST = 3
"""Requests that must have ended at one time: two may by chance."""
_KNOWN_LIMITS = {
    15: "Envoy's and Istio's default for a route",
    30: "the default of Google's load balancer, Heroku and many clients",
    60: "the default of nginx (proxy_read_timeout) and of AWS load balancers",
    100: "Cloudflare's limit for an answer to begin",
    300: "a usual limit of ingress controllers that were told so",
    600: "the default of OpenAI's own client library",
}


def gateway_queue(seen: Observation) -> Finding | None:
    """Find requests that wait for room longer than an engine needs to their first token."""
    turned_away = [one for one in seen.requests if one.error in QUEUE_ENDS]
    waited = [one for one in seen.requests if _waits_most(one)]
    harmed = len(waited) + len(turned_away) + (waiting_now(seen) if waited else 0)
    if harmed >= ENOUGH and harmed >= MANY * len(seen.requests):
        weight = lost((one.queued or 0.0 for one in waited), seen)
        weight = max(weight, len(turned_away) / len(seen.requests))
        figures = (*_waits(waited), *_turned_away(turned_away), *_room(seen))
        return found(Cause.GATEWAY_QUEUE, figures, weight, strong=bool(_room(seen)))
    return _backlog(seen)


def waiting_now(seen: Observation) -> int:
    """Return how many waited for room at the last look, if some did at most looks."""
    queued = [look.queued or 0 for look in seen.waiting]
    return queued[-1] if mostly([number > 0 for number in queued]) else 0


def _waits_most(one: Request) -> bool:
    rest = one.engine if one.engine is not None else one.duration - (one.queued or 0.0)
    return one.queued is not None and one.queued > rest and hurts(one.queued, one)


def _waits(waited: Sequence[Request]) -> tuple[str, ...]:
    if not waited:
        return ()
    queue, engine = (median(getattr(one, name) for one in waited) for name in ("queued", "engine"))
    after = "" if engine is None else f", then {span(engine)} in the engine to the first token"
    return (f"{count(len(waited), 'request')} waited {span(queue or 0.0)} for room{after}",)


def _turned_away(turned_away: Sequence[Request]) -> tuple[str, ...]:
    if not turned_away:
        return ()
    kinds = ", ".join(sorted({one.error for one in turned_away}))
    return (f"{count(len(turned_away), 'request')} turned away ({kinds})",)


def _room(seen: Observation) -> tuple[str, ...]:
    """Say how many wait and run, where the gateway was looked at while some waited."""
    queued = mean(look.queued for look in seen.waiting)
    running = mean(look.running for look in seen.waiting)
    if not queued:
        return ()
    room = sum(known(one.room for one in ready(seen)))
    bound = f" of {room}" if room else ""
    runs = "" if running is None else f"; {number(running)}{bound} run"
    return (f"{number(queued)} wait for room on average{runs}",)


def _backlog(seen: Observation) -> Finding | None:
    """Find a queue at every look, where too few have ended to say for how long they waited."""
    if len(known(one.queued for one in seen.requests)) >= ENOUGH:
        return None
    if not mostly([bool(look.queued) for look in seen.waiting]):
        return None
    return found(Cause.GATEWAY_QUEUE, _room(seen), 0.5)


def time_limit(seen: Observation) -> Finding | None:
    """Find requests cut after one and the same time, that none outlived."""
    cut = [one for one in seen.requests if one.outcome in _CUT]
    together = _densest(sorted(one.duration for one in cut))
    if len(together) < max(_LEAST, len(cut) / 2, MANY * len(seen.requests)):
        return None
    limit = together[-1] * (1 + _LONGER)
    if any(one.duration > limit for one in seen.requests):
        return None
    ends = " and ".join(sorted({str(one.outcome) for one in cut}))
    figures = [
        f"{len(together)} of {len(cut)} requests cut ({ends}) ended after {span(together[0])}"
    ]
    figures.append(f"no request of {len(seen.requests)} lasted longer")
    figures += [
        f"{at} s is {whose}"
        for at, whose in _KNOWN_LIMITS.items()
        if abs(together[0] - at) <= _SAME * at
    ]
    return found(
        Cause.TIME_LIMIT,
        tuple(figures),
        len(together) / len(seen.requests),
        strong=len(together) >= ENOUGH,
    )


_CUT = (Outcome.GONE, Outcome.FAILED, Outcome.TIMEOUT)


def _densest(durations: Sequence[float]) -> Sequence[float]:
    """Return the most of the sorted durations that lie within one limit's jitter."""
    best: Sequence[float] = ()
    first = 0
    for last, duration in enumerate(durations):
        while durations[first] * (1 + _SAME) < duration:
            first += 1
        if last + 1 - first > len(best):
            best = durations[first : last + 1]
    return best
