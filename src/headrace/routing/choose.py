"""Which replica takes the next request: ready, with room, and with least in flight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Place:
    """A replica as routing sees it: `room` requests at once, `running` of them now.

    `ready` says that it takes new work, `listed` that the runtime still names it; it gets nothing
    new before `skip_until` (seconds on the caller's clock).
    """

    id: str
    room: int
    ready: bool = True
    listed: bool = True
    running: int = 0
    skip_until: float = 0.0

    @property
    def wants_work(self) -> bool:
        """Whether it is ready and has room."""
        return self.ready and self.running < self.room


def choose(places: Iterable[Place], now: float) -> Place | None:
    """Return the replica for the next request, or None when none can take it.

    Ties go to the first listed, so that with little traffic the later replicas can be scaled away.
    """
    able = (place for place in places if place.wants_work and place.skip_until <= now)
    return min(able, key=_in_flight, default=None)


def _in_flight(place: Place) -> int:
    return place.running
