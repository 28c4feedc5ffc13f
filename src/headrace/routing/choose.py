"""Which replica takes the next request: ready, trusted, with room, and with least in flight.

`health.py` says who is trusted. When no ready replica is, the least bad one gets the work: refusing
everybody would be worse than trying.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from headrace.routing.health import Health


@dataclass(slots=True, eq=False)
class Place:
    """A replica as routing sees it: `room` requests at once, `running` of them now.

    `ready` says that it takes new work, `listed` that the runtime still names it; it gets nothing
    new before `skip_until` (seconds on the caller's clock), nor what `health` does not admit.
    """

    id: str
    room: int
    ready: bool = True
    listed: bool = True
    running: int = 0
    skip_until: float = 0.0
    health: Health = field(default_factory=Health)

    @property
    def wants_work(self) -> bool:
        """Whether it is ready and has room."""
        return self.ready and self.running < self.room


def choose(places: Iterable[Place], now: float) -> Place | None:
    """Return the replica for the next request, or None when none can take it.

    A probe goes first, so that a replica that was ejected is tried while its peers have room too.
    Ties go to the first listed, so that with little traffic the later replicas can be scaled away.
    """
    ready = [place for place in places if place.ready]
    able = [place for place in ready if place.wants_work and place.skip_until <= now]
    if not any(place.health.trusted for place in ready):
        return min(able, key=lambda place: _badness(place, now), default=None)
    admitted = (place for place in able if place.health.admits(place.running, now))
    return min(admitted, key=_in_flight, default=None)


def _in_flight(place: Place) -> tuple[bool, int]:
    return (place.health.trusted, place.running)


def _badness(place: Place, now: float) -> tuple[float, int]:
    return (place.health.window.counts(now).share, place.running)
