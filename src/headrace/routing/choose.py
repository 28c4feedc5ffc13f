"""Which replica takes the next request: the one on which it means the least work, in tokens.

Work is what waits there plus the part of the prompt that is not cached there (`prefix.py`), so that
a conversation returns to its replica for as long as that is the cheaper way, and a hot prefix
spreads. `health.py` says who is trusted. When no ready replica is, the least bad one gets the work:
refusing everybody would be worse than trying.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headrace.routing.health import Health, Standing
from headrace.routing.prefix import PrefixIndex
from headrace.routing.work import Work

DECODING = 0.5
"""What a token of answers still to come adds to a replica's load, in tokens of prefill.

Less than it costs (`work.OUTPUT`): engines decode beside a prefill, so a newcomer hardly waits."""
OVERLOAD = 1.25
"""A replica with more load than so many times the mean (and `SPARE`) counts as having nothing
cached: what we believe of caches may be wrong, and must not cost more than this."""
SPARE = 32_768
"""Tokens of load that are never too many: a mean of little says nothing."""
NEAR = 256
"""Scores within so many tokens of the best are as good."""
TOLD = 3
"""So many scores are kept for the record."""
LEAST_SHARE = 0.1
"""A new replica begins with this share of what the others take."""
_SOUND = Standing.SOUND
_NOTHING: Mapping[str, int] = {}
_NO_SHARES: Mapping[str, float] = {}


@dataclass(slots=True, eq=False)
class Place:
    """A replica as routing sees it: `room` requests at once, `running` of them now.

    `ready` says that it takes new work, `listed` that the runtime still names it; it gets nothing
    new before `skip_until` (seconds on the caller's clock), nor what `health` does not admit.
    `ready_at` is when it became ready, if others were ready then. `load` is what it has to do, in
    tokens of prefill; `Bound` keeps it.
    """

    id: str
    room: int
    ready: bool = True
    listed: bool = True
    running: int = 0
    skip_until: float = 0.0
    health: Health = field(default_factory=Health)
    ready_at: float = -math.inf
    load: int = 0

    @property
    def wants_work(self) -> bool:
        """Whether it is ready and has room."""
        return self.ready and self.running < self.room

    def bind(self, work: Work, cached: int = 0) -> Bound:
        """Take a request of whose prompt `cached` tokens need no prefill."""
        return Bound(self, max(0, work.prompt - cached), work.output)


class Bound:
    """What one request still adds to a replica's load, and its room there."""

    __slots__ = ("_answer", "_prompt", "place")

    def __init__(self, place: Place, prompt: int, answer: int) -> None:
        self.place = place
        self._prompt, self._answer = prompt, int(answer * DECODING)
        place.load += self._prompt + self._answer
        place.running += 1

    def prefilled(self) -> None:
        """Take note that the answer began: its prompt is no work any more. Twice does no harm."""
        self.place.load -= self._prompt
        self._prompt = 0

    def unbind(self) -> None:
        """Give back the room and what is left of the load; to be called once."""
        self.place.load -= self._prompt + self._answer
        self.place.running -= 1
        self._prompt = self._answer = 0


class Score(NamedTuple):
    """Tokens of work that the request would have meant on a replica, and of its prompt there."""

    replica: str
    score: int
    cached: int


class Choice(NamedTuple):
    """The replica, the tokens it has `cached`, and the best few scores (the chosen one's first)."""

    place: Place
    cached: int
    scores: tuple[Score, ...]


def choose(
    places: Collection[Place],
    work: Work,
    now: float,
    index: PrefixIndex | None = None,
    slow_start: float = 0.0,
) -> Choice | None:
    """Return the replica for the next request, or None when none can take it.

    A probe goes first, so that a replica that was ejected is tried while its peers have room too.
    A replica that became ready less than `slow_start` seconds ago, while others were, takes a
    growing share. Of replicas that are alike the one with fewer requests is taken, then the one
    whose cache got less, then the first listed: with little traffic and no prompts to cache the
    later replicas can be scaled away.
    """
    sound = [
        p
        for p in places
        if p.ready and p.running < p.room and p.skip_until <= now and p.health.standing is _SOUND
    ]
    able = sound
    if len(sound) < len(places):
        able = [p for p in places if p.wants_work and p.skip_until <= now]
    if not able:
        return None
    known = index if index is not None and work.prefix else None
    cached = _NOTHING if known is None else known.cached(work.prefix)
    if len(sound) < len(places):
        exception = _exception(places, able, now)
        if exception is not None:
            return Choice(exception, cached.get(exception.id, 0), ())
        sound = [p for p in able if p.health.admits(p.running, now)]
        if not sound:
            return None
    written = _NOTHING if known is None else known.written
    shares = _shares(sound, now, slow_start) if slow_start else _NO_SHARES
    return _best(sound, work, cached, written, shares)


def _exception(places: Collection[Place], able: Sequence[Place], now: float) -> Place | None:
    """Return the replica to try before sound ones are compared: a probe, or the least bad."""
    if not any(place.health.trusted for place in places if place.ready):
        return min(able, key=lambda place: _badness(place, now))
    probes = (p for p in able if not p.health.trusted and p.health.admits(p.running, now))
    return min(probes, key=lambda place: place.running, default=None)


def _badness(place: Place, now: float) -> tuple[float, int]:
    return (place.health.window.counts(now).share, place.running)


def _shares(places: Sequence[Place], now: float, slow_start: float) -> Mapping[str, float]:
    """Return what new replicas take of what the others do."""
    since = now - slow_start
    return {
        place.id: max(LEAST_SHARE, (now - place.ready_at) / slow_start)
        for place in places
        if place.ready_at > since
    }


def _best(
    places: Sequence[Place],
    work: Work,
    cached: Mapping[str, int],
    written: Mapping[str, int],
    shares: Mapping[str, float],
) -> Choice:
    """Return the least score among `places` (at least one)."""
    own = work.prompt + int(work.output * DECODING)
    scores = _scores(places, own, cached, shares)
    first = _first(places, scores, written)
    if places[first].load > SPARE and cached and places[first].load > (limit := _limit(places)):
        within = {p.id: cached.get(p.id, 0) for p in places if p.load <= limit}
        scores = _scores(places, own, within, shares)
        first = _first(places, scores, written)
    chosen, told = places[first], [_told(places[first], scores[first], cached)]
    for _ in range(min(TOLD, len(places)) - 1):
        scores[first] = sys.maxsize
        first = scores.index(min(scores))
        told.append(_told(places[first], scores[first], cached))
    return Choice(chosen, told[0].cached, tuple(told))


def _told(place: Place, score: int, cached: Mapping[str, int]) -> Score:
    return Score(place.id, score, cached.get(place.id, 0))


def _scores(
    places: Sequence[Place], own: int, cached: Mapping[str, int], shares: Mapping[str, float]
) -> list[int]:
    if cached:
        had = cached.get
        scores = [place.load + own - had(place.id, 0) for place in places]
    else:
        scores = [place.load + own for place in places]
    for number, place in enumerate(places if shares else ()):
        scores[number] = int(scores[number] / shares.get(place.id, 1.0))
    return scores


def _first(places: Sequence[Place], scores: Sequence[int], written: Mapping[str, int]) -> int:
    """Return the number of the best, or of the best of those that are about as good."""
    enough = min(scores) + NEAR
    near = [number for number, score in enumerate(scores) if score <= enough]
    if len(near) == 1:
        return near[0]
    got = written.get
    return min(near, key=lambda n: (places[n].running, got(places[n].id, 0)))


def _limit(places: Sequence[Place]) -> int:
    return int(OVERLOAD * sum([place.load for place in places]) / len(places)) + SPARE
