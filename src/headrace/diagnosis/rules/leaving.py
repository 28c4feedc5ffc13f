"""Faults of replicas that go: drained, stopped by somebody else, crashed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.figures import ENOUGH, MANY, hurts, lost, median, whole
from headrace.diagnosis.finding import Finding, found
from headrace.diagnosis.observation import Event, Observation, Outcome, Request
from headrace.diagnosis.rules.admission import waiting_now
from headrace.diagnosis.words import count, span

_LEAVING = ("draining", "leaving", "stopping")
_LOST = ("crashed", "wrong", "failed")
_LOSSES = ("crashed", "wrong", "gave-up")
_LEAST = 3
"""Requests that must have been moved or cut: one or two may have other reasons."""


def draining(seen: Observation) -> Finding | None:
    """Find a replica that leaves and harms requests, or leaves too little room behind."""
    gone = _going(seen)
    harmed = [
        one
        for one in seen.requests
        if gone.intersection(one.left) or _cut_by(one, gone) or one.sent_away
    ]
    unasked = any(event.told for event in seen.events)
    if unasked or (len(harmed) >= _LEAST and len(harmed) >= MANY * len(seen.requests)):
        return _harmed_by(gone, harmed, seen)
    meanwhile = _meanwhile(seen, gone)
    crowded = [one for one in seen.requests if _waits_meanwhile(one, meanwhile)]
    many = len(crowded) + (waiting_now(seen) if crowded else 0)
    if not gone or many < max(ENOUGH, MANY * len(seen.requests)):
        return None
    waited = median(one.queued for one in crowded) or 0.0
    figures = (
        *_going_words(seen, gone),
        f"meanwhile {count(len(crowded), 'request')} waited {span(waited)} for room",
    )
    return found(Cause.DRAINING, figures, lost((one.queued or 0.0 for one in crowded), seen))


def _meanwhile(seen: Observation, gone: Collection[str]) -> tuple[float, float]:
    """Return from when to when replicas were leaving, and those they left behind had to wait.

    That ends a usual request's time after the last was gone: who waits later waits for another
    reason, such as too few replicas.
    """
    since = [e.at for e in seen.events if e.subject in gone and (e.kind == "stopping" or e.told)]
    until = [event.at for event in seen.events if event.subject in gone and event.kind == "gone"]
    still = any(one.name in gone and one.state in _LEAVING for one in seen.replicas)
    usual = median(one.duration for one in whole(seen.requests)) or 0.0
    end = seen.seconds if still or not until else max(until) + usual
    return (min(since) if since else 0.0), end


def _waits_meanwhile(one: Request, meanwhile: tuple[float, float]) -> bool:
    since, until = meanwhile
    return hurts(one.queued, one) and one.at < until and one.at + (one.queued or 0.0) > since


def _going(seen: Observation) -> set[str]:
    """Return the replicas that leave, or left while we looked, other than by a crash."""
    states = {one.name for one in seen.replicas if one.state in _LEAVING}
    lost_ones = {event.subject for event in seen.events if _is_loss(event)}
    stopped = {event.subject for event in seen.events if event.kind == "stopping" or event.told}
    return (states | stopped) - lost_ones


def _is_loss(event: Event) -> bool:
    return event.kind in _LOSSES and not event.told


def _cut_by(one: Request, gone: Collection[str]) -> bool:
    return one.outcome == Outcome.FAILED and one.replica in gone


def _harmed_by(gone: Collection[str], harmed: Sequence[Request], seen: Observation) -> Finding:
    broken = [one for one in harmed if one.outcome == Outcome.FAILED]
    figures = (
        *_going_words(seen, gone),
        f"{count(len(harmed), 'request')} moved away or aborted, {len(broken)} of them failed",
    )
    weight = len(harmed) / len(seen.requests) if seen.requests else 1.0
    return found(Cause.DRAINING, figures, max(weight, MANY), strong=bool(gone))


def _going_words(seen: Observation, gone: Collection[str]) -> list[str]:
    states = {one.name: one for one in seen.replicas}
    told = {event.subject for event in seen.events if event.told}
    words = []
    for name in sorted(gone):
        one = states.get(name)
        has = f" with {one.in_flight} in flight" if one and one.in_flight else ""
        by = ", and not by Headrace" if name in told else ""
        leaves = one is not None and one.state in _LEAVING
        words.append(f"{name} is {one.state}{has}" if one and leaves else f"{name} was stopped{by}")
    return words


def lost_replica(seen: Observation) -> Finding | None:
    """Find a replica that crashed, was wrong, or broke requests without being told to leave."""
    gone = _going(seen)
    losses = [event for event in seen.events if _is_loss(event)]
    bad = [one for one in seen.replicas if one.state in _LOST]
    broken = [one for one in seen.requests if _broke(one) and not set(one.left) & gone]
    late = _late(broken, seen)
    often = len(broken) >= _LEAST and max(late, len(broken) / len(seen.requests)) >= MANY
    if not losses and not bad and not often:
        return None
    figures = [f"{one.subject} {one.kind}: {one.text}".strip(": ") for one in losses[-3:]]
    figures += [f"{one.name} is {one.state}" for one in bad]
    if broken:
        figures.append(f"{count(len(broken), 'request')} lost a replica on the way")
    weight = max(late, len(broken) / len(seen.requests)) if seen.requests else 1.0
    return found(Cause.LOST_REPLICA, tuple(figures), max(weight, MANY), strong=bool(losses))


def _late(broken: Sequence[Request], seen: Observation) -> float:
    """Return the share of all time by which these took longer than a usual one."""
    usual = median(one.duration for one in whole(seen.requests))
    if usual is None:
        return 0.0
    return lost((max(0.0, one.duration - usual) for one in broken), seen)


def _broke(one: Request) -> bool:
    return bool(one.left) and not one.sent_away
