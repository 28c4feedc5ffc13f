"""Faults of replicas that are not there yet, or new: nothing is ready, a cache is cold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.figures import (
    ENOUGH,
    MANY,
    first_kept,
    grown,
    hurts,
    known,
    lost,
    median,
    mostly,
    prefill,
    whole,
)
from headrace.diagnosis.finding import Finding, found
from headrace.diagnosis.observation import Event, Observation, Replica, Request
from headrace.diagnosis.words import count, percent, span

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
    rest = (one.queued or 0.0) + (one.engine or 0.0)
    return one.held is not None and one.held > rest and hurts(one.held, one)


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
    ages = _ages(_young(seen))
    figures = (
        f"{percent(now)} of prompt tokens came from the cache, {percent(before)} before",
        f"prefill takes {span(took)}, {span(was)} before",
        *(ages or ("no replica is new: prompts changed, or the cache is too small",)),
    )
    seconds = [(prefill(one) or 0.0) - was for one in whole(seen.requests)]
    return found(Cause.COLD_CACHE, figures, lost(seconds, seen), strong=bool(ages))


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


def _young(seen: Observation) -> list[Replica]:
    """Return the replicas that are younger than the observation."""
    return [one for one in seen.replicas if one.age is not None and one.age < seen.seconds]


def _ages(young: Sequence[Replica]) -> tuple[str, ...]:
    return tuple(f"{one.name} is {span(one.age or 0.0)} old" for one in young)


def _colder_than_peers(seen: Observation) -> Finding | None:
    young = _young(seen)
    names = {one.name for one in young}
    new = [one for one in whole(seen.requests) if one.replica in names]
    old = [one for one in whole(seen.requests) if one.replica not in names]
    here, there = _share(new), _share(old)
    if here is None or there is None or there < _WORTH or here > _HALF * there:
        return None
    took, usual = (median(map(prefill, part)) for part in (new, old))
    if took is None or usual is None or took < _SLOWER * usual or _all_kept(new):
        return None
    figures = (
        f"{percent(here)} of prompt tokens were cached on the new one, {percent(there)} elsewhere",
        f"prefill takes {span(took)} there, {span(usual)} elsewhere",
        *_ages(young),
    )
    seconds = [(prefill(one) or 0.0) - usual for one in new]
    return found(Cause.COLD_CACHE, figures, lost(seconds, seen), strong=True)


def _all_kept(requests: Iterable[Request]) -> bool:
    return all(map(first_kept, requests))
