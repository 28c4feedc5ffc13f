"""Faults of replicas' lives: not ready, new and cold, draining, lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.figures import (
    ENOUGH,
    MANY,
    felt,
    first_kept,
    grown,
    known,
    lost,
    median,
    mostly,
    prefill,
    whole,
)
from headrace.diagnosis.finding import Finding, found
from headrace.diagnosis.observation import Event, Observation, Outcome, Replica, Request
from headrace.diagnosis.rules.admission import waiting_now
from headrace.diagnosis.words import count, percent, span

_LEAVING = ("draining", "leaving", "stopping")
_LOST = ("crashed", "wrong", "failed")
_LOSSES = ("crashed", "wrong", "gave-up")
_SENT_AWAY = ("abort", "is to be left")
"""An engine that drains aborts what comes; a gateway leaves one whose time is over."""
_TOLD = ("exit status 0", "but came ''")
"""How such an engine ends; while it drains, vLLM answers newcomers with nothing."""
_LEAST = 3
"""Requests that must have been moved or cut: one or two may have other reasons."""
_WORTH = 0.2
"""Share of prompt tokens from the cache below which a cache was never worth much."""
_HALF = 0.5
_SLOWER = 1.5
"""Times the prefill before: what a cold cache must cost to be at fault."""


def cold_model(seen: Observation) -> Finding | None:
    """Find requests that are held because nothing is ready."""
    held = [one for one in seen.requests if _held_most(one)]
    coming = [one for one in seen.replicas if one.state in ("starting", "probing")]
    starts = [event for event in seen.events if event.kind in ("started", "ready")]
    figures = [*_starting(coming), *_started(starts)]
    if held and len(held) >= MANY * len(seen.requests):
        waits = [one.held or 0.0 for one in held]
        many = count(len(held), "request")
        figures.insert(0, f"{many} waited {span(max(waits))} and less for a ready replica")
        return found(Cause.COLD_MODEL, tuple(figures), lost(waits, seen), strong=bool(figures[1:]))
    if not mostly([bool(look.held) for look in seen.waiting]):
        return None
    waiting = max(known(look.held for look in seen.waiting))
    figures.insert(0, f"{count(waiting, 'request')} held now, and no replica is ready")
    return found(Cause.COLD_MODEL, tuple(figures), 1.0, strong=bool(coming))


def _held_most(one: Request) -> bool:
    """Whether it was held for longer than everything else before its first token took."""
    waited = one.held is not None and one.held > (one.queued or 0.0) + (one.engine or 0.0)
    return waited and felt(one.held, one) and not first_kept(one)


def _starting(coming: Sequence[Replica]) -> list[str]:
    ages = [(one.name, one.age) for one in coming if one.age is not None]
    return [f"{name} has been starting for {span(age)}" for name, age in ages]


def _started(starts: Sequence[Event]) -> list[str]:
    return [f"{one.subject}: {one.kind} {one.text}".rstrip() for one in starts[-2:]]


def cold_cache(seen: Observation) -> Finding | None:
    """Find a prefix cache that has far less than before, or than the peers' has."""
    return _colder_than_before(seen) or _colder_than_peers(seen)


def _colder_than_before(seen: Observation) -> Finding | None:
    before, now = _share(seen.earlier), _share(seen.requests)
    if before is None:
        before, now = _share_of_looks(seen)
    if before is None or now is None or before < _WORTH or now > _HALF * before:
        return None
    was, took = (median(map(prefill, whole(part))) for part in (seen.earlier, seen.requests))
    if was is None or took is None or took < _SLOWER * was or _all_kept(seen.requests):
        return None
    figures = (
        f"{percent(now)} of prompt tokens came from the cache, {percent(before)} before",
        f"prefill takes {span(took)}, {span(was)} before",
        *(_ages(seen) or ("no replica is new: prompts changed, or the cache is too small",)),
    )
    seconds = [(prefill(one) or 0.0) - was for one in whole(seen.requests)]
    return found(Cause.COLD_CACHE, figures, lost(seconds, seen), strong=bool(_ages(seen)))


def _share(requests: Iterable[Request]) -> float | None:
    """Return the share of prompt tokens that were cached, of requests that tell."""
    told = [one for one in requests if one.cached_tokens is not None and one.prompt_tokens]
    if len(told) < ENOUGH:
        return None
    return sum(one.cached_tokens or 0 for one in told) / sum(one.prompt_tokens or 0 for one in told)


def _share_of_looks(seen: Observation) -> tuple[float | None, float | None]:
    """Return the share by the engines' counters: before the first look, and since."""
    firsts = [look for one in seen.replicas for look in one.looks[:1]]
    before = _ratio(
        known(look.prefix_hits for look in firsts), known(look.prefix_queries for look in firsts)
    )
    hits = known(grown(one.looks, "prefix_hits") for one in seen.replicas)
    queries = known(grown(one.looks, "prefix_queries") for one in seen.replicas)
    return before, _ratio(hits, queries)


def _ratio(hits: Collection[float], queries: Collection[float]) -> float | None:
    return sum(hits) / sum(queries) if hits and sum(queries) else None


def _ages(seen: Observation) -> tuple[str, ...]:
    """Say which replicas are younger than the observation."""
    young = [one for one in seen.replicas if one.age is not None and one.age < seen.seconds]
    return tuple(f"{one.name} is {span(one.age or 0.0)} old" for one in young)


def _colder_than_peers(seen: Observation) -> Finding | None:
    young = [one.name for one in seen.replicas if one.age is not None and one.age < seen.seconds]
    new = [one for one in whole(seen.requests) if one.replica in young]
    old = [one for one in whole(seen.requests) if one.replica not in young]
    here, there = _share(new), _share(old)
    if here is None or there is None or there < _WORTH or here > _HALF * there:
        return None
    took, usual = (median(map(prefill, part)) for part in (new, old))
    if took is None or usual is None or took < _SLOWER * usual or _all_kept(new):
        return None
    figures = (
        f"{percent(here)} of prompt tokens were cached on the new one, {percent(there)} elsewhere",
        f"prefill takes {span(took)} there, {span(usual)} elsewhere",
        *_ages(seen),
    )
    seconds = [(prefill(one) or 0.0) - usual for one in new]
    return found(Cause.COLD_CACHE, figures, lost(seconds, seen), strong=True)


def _all_kept(requests: Iterable[Request]) -> bool:
    return all(map(first_kept, requests))


def draining(seen: Observation) -> Finding | None:
    """Find a replica that leaves and harms requests, or leaves too little room behind."""
    gone = _going(seen)
    harmed = [
        one
        for one in seen.requests
        if gone.intersection(one.left) or _cut_by(one, gone) or _sent_away(one)
    ]
    unasked = any(map(_told, seen.events))
    if unasked or (len(harmed) >= _LEAST and len(harmed) >= MANY * len(seen.requests)):
        return _harmed_by(gone, harmed, seen)
    crowded = [
        one for one in seen.requests if one.queued and felt(one.queued, one) and not first_kept(one)
    ]
    many = len(crowded) + (waiting_now(seen) if crowded else 0)
    if not gone or many < max(ENOUGH, MANY * len(seen.requests)):
        return None
    waited = median(one.queued for one in crowded) or 0.0
    figures = (
        *_going_words(seen, gone),
        f"meanwhile {count(len(crowded), 'request')} waited {span(waited)} for room",
    )
    return found(Cause.DRAINING, figures, lost((one.queued or 0.0 for one in crowded), seen))


def _going(seen: Observation) -> set[str]:
    """Return the replicas that leave, or left while we looked, other than by a crash."""
    states = {one.name for one in seen.replicas if one.state in _LEAVING}
    lost_ones = {event.subject for event in seen.events if _is_loss(event)}
    stopped = {event.subject for event in seen.events if event.kind == "stopping" or _told(event)}
    return (states | stopped) - lost_ones


def _is_loss(event: Event) -> bool:
    return event.kind in _LOSSES and not _told(event)


def _told(event: Event) -> bool:
    """Whether the engine ended, or said nothing, as one does that somebody else told to stop."""
    return any(words in event.text for words in _TOLD)


def _sent_away(one: Request) -> bool:
    """Whether a replica that leaves would not have it, by what was said of that."""
    return any(words in one.error for words in _SENT_AWAY)


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
    told = {event.subject for event in seen.events if _told(event)}
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
    if not losses and not bad and len(broken) < max(_LEAST, MANY * len(seen.requests)):
        return None
    figures = [f"{one.subject} {one.kind}: {one.text}".strip(": ") for one in losses[-3:]]
    figures += [f"{one.name} is {one.state}" for one in bad]
    if broken:
        figures.append(f"{count(len(broken), 'request')} lost a replica on the way")
    weight = len(broken) / len(seen.requests) if seen.requests else 1.0
    return found(Cause.LOST_REPLICA, tuple(figures), max(weight, MANY), strong=bool(losses))


def _broke(one: Request) -> bool:
    return bool(one.left) and not _sent_away(one)
