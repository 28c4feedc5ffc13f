"""Which replica takes the next request: the one on which it means the least work, in tokens.

Work is what waits there plus the part of the prompt that is not cached there (`prefix.py`), so that
a conversation returns to its replica for as long as that is the cheaper way, and a hot prefix
spreads. `health.py` says who is trusted. When no ready replica is, the least bad one gets the work:
refusing everybody would be worse than trying.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import msgspec

from headrace.routing.adapters import Slots
from headrace.routing.health import Health, Standing
from headrace.routing.prefix import ENOUGH, PrefixIndex
from headrace.routing.work import Work

DECODING = 0.5
"""What a token of answers still to come adds to a replica's load, in tokens of prefill.

Less than it costs (`work.OUTPUT`): engines decode beside a prefill, so a newcomer hardly waits."""
MOST_WORTH = 4.0
"""What a cached token takes off a replica's score at most: 1 when all are idle, and 1 more for each
`SPARE` of mean load. Work saved helps all that wait: the more, the more they are."""
OVERLOAD = 1.25
"""A replica with more load than so many times the mean (and `SPARE`) counts as having nothing
cached: what we believe of caches may be wrong, and must not cost more than this."""
SPARE = 32_768
"""Tokens of load that are never too many: a mean of little says nothing. 2 s of prefill for an 8B
model on one large GPU."""
NEAR = 256
"""Scores within so many tokens of the best are as good."""
TOLD = 3
"""So many scores are kept for the record."""
OTHERS = 48
"""Of many replicas so many are compared, in turns, and those with most in their cache."""
MANY = OTHERS + ENOUGH
"""No more are compared at all, to take no longer."""
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
    tokens of prefill; `Bound` keeps it. `lacks` are adapters that it does not have, `slots` has
    those that are loaded.
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
    lacks: frozenset[str] = frozenset()
    slots: Slots = field(default_factory=Slots)

    @property
    def wants_work(self) -> bool:
        """Whether it is ready and has room."""
        return self.ready and self.running < self.room

    def bind(self, work: Work, cached: int = 0, adapter: str | None = None) -> Bound:
        """Take a request of whose prompt `cached` tokens need no prefill."""
        return Bound(self, max(0, work.prompt - cached), work.output, adapter)


class Bound:
    """What one request still adds to a replica's load, and its room there."""

    __slots__ = ("_adapter", "_answer", "_prompt", "place")

    def __init__(self, place: Place, prompt: int, answer: int, adapter: str | None) -> None:
        self.place = place
        self._adapter = adapter
        if adapter is not None:
            place.slots.enter(adapter)
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
        if self._adapter is not None:
            self.place.slots.leave(self._adapter)


class Score(msgspec.Struct, frozen=True, gc=False):
    """What speaks against a replica, in tokens of work, and tokens of the prompt cached there.

    The least is the best. Below 0: its cache is worth more than all that waits there. Records keep
    them as they are.
    """

    replica: str
    score: float
    cached: int = 0


class Choice(NamedTuple):
    """The replica, the tokens it has `cached`, and the best few scores (the chosen one's first)."""

    place: Place
    cached: int
    scores: tuple[Score, ...]


def choose(
    places: Mapping[str, Place],
    work: Work,
    now: float,
    index: PrefixIndex | None = None,
    slow_start: float = 0.0,
) -> Choice | None:
    """Return the replica for the next request, of these by id, or None when none can take it.

    A probe goes first, so that a replica that was ejected is tried while its peers have room too.
    A replica that became ready less than `slow_start` seconds ago, while others were, takes a
    growing share. Of replicas that are alike the one with fewer requests is taken, then the one
    whose cache got less, then the first listed: with little traffic and no prompts to cache the
    later replicas can be scaled away.
    """
    known = index if index is not None and work.prefix else None
    written = _NOTHING if known is None else known.written
    every = places.values()
    some = _some(every, now) if len(places) > MANY else None
    if known is None:
        cached = _NOTHING
    elif some is None:
        cached = known.cached(work.prefix)
    else:
        cached = known.cached(work.prefix, [place.id for place in some])
        some += _with_most(places, cached, some)
    for among in (every,) if some is None else (some, every):
        able, exception = _able(among, every, now)
        if exception is not None:
            return Choice(exception, cached.get(exception.id, 0), ())
        if able:
            shares = _shares(able, now, slow_start) if slow_start else _NO_SHARES
            return _best(able, work, cached, written, shares)
    return None


def _some(places: Collection[Place], now: float) -> list[Place]:
    """Return `OTHERS` of many, in turns: the best of 48 is mostly among the best 2 % of all."""
    every = list(places)
    start = int(now * 1e6) % len(every)
    return (every[start:] + every[:start])[:OTHERS]


def _with_most(
    places: Mapping[str, Place], cached: Mapping[str, int], some: Sequence[Place]
) -> list[Place]:
    """Return those that have most in their cache and are not among `some`."""
    names = {name: None for name in islice(cached, ENOUGH) if name in places}
    for place in some:
        names.pop(place.id, None)
    return [places[name] for name in names]


def _able(
    places: Collection[Place], every: Collection[Place], now: float
) -> tuple[Sequence[Place], Place | None]:
    """Return who may take a request, or the one that has to: a probe, or the least bad of all."""
    sound = [
        p
        for p in places
        if p.ready and p.running < p.room and p.skip_until <= now and p.health.standing is _SOUND
    ]
    if len(sound) == len(places):
        return sound, None
    able = [p for p in places if p.wants_work and p.skip_until <= now]
    if len(sound) == len(able):
        return sound, None
    if not any(place.health.trusted for place in every if place.ready):
        return (), min(able, key=lambda place: _badness(place, now))
    admitted = [p for p in able if p.health.admits(p.running, now)]
    probes = (p for p in admitted if not p.health.trusted)
    return admitted, min(probes, key=lambda place: place.running, default=None)


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
    """Return the one with the least score among `places` (at least one).

    Scores are kept without the request's own work, which is the same everywhere, and over `worth`.
    """
    own = work.prompt + int(work.output * DECODING)
    mean = sum([place.load for place in places]) / len(places) if cached else 0.0
    worth = min(MOST_WORTH, 1.0 + mean / SPARE)
    scores = _scores(places, cached, worth, own, shares)
    first = _first(places, scores, NEAR / worth, written)
    limit = OVERLOAD * mean + SPARE
    if cached and places[first].load > limit:
        within = {p.id: cached.get(p.id, 0) for p in places if p.load <= limit}
        scores = _scores(places, within, worth, own, shares)
        first = _first(places, scores, NEAR / worth, written)
    told = []
    for number in _least(scores, first):
        name = places[number].id
        told.append(Score(name, int(scores[number] * worth) + own, cached.get(name, 0)))
    return Choice(places[first], told[0].cached, tuple(told))


def _scores(
    places: Sequence[Place],
    cached: Mapping[str, int],
    worth: float,
    own: int,
    shares: Mapping[str, float],
) -> list[float]:
    if not cached and not shares:
        return [place.load / worth for place in places]
    part, had = 1 / worth, cached.get
    scores = [place.load * part - had(place.id, 0) for place in places]
    for number, place in enumerate(places if shares else ()):  # new ones are dearer at first
        share = shares.get(place.id, 1.0)
        scores[number] += max(0.0, scores[number] + own * part) * (1 / share - 1)
    return scores


def _first(
    places: Sequence[Place], scores: Sequence[float], near: float, written: Mapping[str, int]
) -> int:
    """Return the number of the best, or of the best of those that are about as good."""
    enough = min(scores) + near
    alike = [number for number, score in enumerate(scores) if score <= enough]
    if len(alike) == 1:
        return alike[0]
    fewest = min([places[number].running for number in alike])
    alike = [number for number in alike if places[number].running == fewest]
    got = written.get
    return min(alike, key=lambda n: got(places[n].id, 0)) if written else alike[0]


def _least(scores: Sequence[float], first: int) -> list[int]:
    """Return `first` and the numbers of the next best."""
    left, found = list(scores), [first]
    while len(found) < min(TOLD, len(left)):
        left[found[-1]] = math.inf
        found.append(left.index(min(left)))
    return found
