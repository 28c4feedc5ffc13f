"""Late binding: one queue for each deployment, and the replicas that take work from it.

A request is bound to a replica only when that replica has room, so a new replica takes waiting
work at once, a slow one hoards nothing and a draining one gets nothing. Pure data: the caller
brings the clock (`now`, in seconds from any fixed start, never going back) and carries out what
`assign` and `expired` return. The gateway drives it with a real clock, a simulator with a virtual
one. `choose.py` says which replica; `pace.py` says when a refused client should come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from headrace.routing.choose import Place, choose

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One request's place in the queue, and how long it has waited so far (seconds).

    `held` is waiting while no replica was ready, `queued` while all ready ones were full.
    """

    item: T
    arrived: float
    held: float = 0.0
    queued: float = 0.0
    entered: float = 0.0
    held_mark: float = 0.0


class WorkQueue(Generic[T]):
    """Waiting requests in order of arrival, and replicas with their work in flight.

    `limit` bounds how many wait; `max_wait` (seconds since arrival) bounds how long.
    """

    def __init__(self, limit: int, max_wait: float, now: float = 0.0) -> None:
        self.limit = limit
        self.max_wait = max_wait
        self.places: dict[str, Place] = {}
        self._waiting: OrderedDict[int, Ticket[T]] = OrderedDict()
        self._held_total = 0.0
        self._held_since: float | None = now

    # -- what is so ---------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def any_ready(self) -> bool:
        """Whether at least one replica takes new work (now or when it has room)."""
        return self._held_since is None

    @property
    def held(self) -> int:
        """How many wait for a replica to become ready."""
        return 0 if self.any_ready else len(self._waiting)

    @property
    def queued(self) -> int:
        """How many wait for room on a ready replica."""
        return len(self._waiting) if self.any_ready else 0

    @property
    def running(self) -> int:
        """How many are bound to a replica."""
        return sum(place.running for place in self.places.values())

    def next_event(self, now: float) -> float | None:
        """Return when `assign` or `expired` may have something new by time alone, or None."""
        if not self._waiting:
            return None
        times = [next(iter(self._waiting.values())).arrived + self.max_wait]
        times += [p.skip_until for p in self.places.values() if p.wants_work and p.skip_until > now]
        return min(times)

    # -- requests -----------------------------------------------------------------------------

    def submit(self, item: T, now: float) -> Ticket[T] | None:
        """Append a request; None when the queue is full and no replica can take it at once."""
        if len(self._waiting) >= self.limit and (self._waiting or self._choose(now) is None):
            return None
        ticket = Ticket(item, now)
        self._enter(ticket, now)
        return ticket

    def resubmit(self, ticket: Ticket[T], now: float) -> None:
        """Put a request that a replica did not take back where its arrival puts it.

        That is near the head. The limit does not count: it was accepted before.
        """
        older = []
        for other in self._waiting.values():
            if other.arrived >= ticket.arrived:
                break
            older.append(other)
        self._enter(ticket, now)
        for other in (ticket, *reversed(older)):
            self._waiting.move_to_end(id(other), last=False)

    def withdraw(self, ticket: Ticket[T], now: float) -> bool:
        """Take a waiting request out; False when it was not waiting."""
        if self._waiting.pop(id(ticket), None) is None:
            return False
        self._leave(ticket, now)
        return True

    def assign(self, now: float) -> Iterator[tuple[Ticket[T], Place]]:
        """Bind waiting requests, oldest first, while there is room; the caller sends them off."""
        while self._waiting and (place := self._choose(now)) is not None:
            _, ticket = self._waiting.popitem(last=False)
            self._leave(ticket, now)
            place.running += 1
            yield ticket, place

    def expired(self, now: float) -> Iterator[Ticket[T]]:
        """Take out the requests that have waited longer than `max_wait`."""
        while self._waiting:
            ticket = next(iter(self._waiting.values()))
            if now < ticket.arrived + self.max_wait:
                return
            self.withdraw(ticket, now)
            yield ticket

    def abandon(self, now: float) -> list[Ticket[T]]:
        """Take every waiting request out (the deployment is gone, or the gateway ends)."""
        tickets = list(self._waiting.values())
        for ticket in tickets:
            self.withdraw(ticket, now)
        return tickets

    # -- replicas -----------------------------------------------------------------------------

    def set_places(self, wanted: Iterable[tuple[str, int, bool]], now: float) -> None:
        """Replace the replicas by `(id, room, takes new work)`.

        One that is gone stays until it is empty.
        """
        listed = {name: (room, ready) for name, room, ready in wanted}
        for name, (room, ready) in listed.items():
            place = self.places.setdefault(name, Place(name, room))
            place.room, place.ready, place.listed = room, ready, True
        for place in [p for p in self.places.values() if p.id not in listed]:
            place.ready = place.listed = False
            self._forget_if_done(place)
        self._mark_held(now)

    def release(self, place: Place) -> None:
        """Give back the room that one bound request took."""
        place.running -= 1
        self._forget_if_done(place)

    def skip(self, place: Place, until: float) -> None:
        """Give a replica no new work before `until`, because it has just refused some."""
        place.skip_until = until

    # -- inside -------------------------------------------------------------------------------

    def _choose(self, now: float) -> Place | None:
        return choose(self.places.values(), now)

    def _forget_if_done(self, place: Place) -> None:
        if not place.listed and not place.running and self.places.get(place.id) is place:
            del self.places[place.id]

    def _enter(self, ticket: Ticket[T], now: float) -> None:
        ticket.entered, ticket.held_mark = now, self._held_at(now)
        self._waiting[id(ticket)] = ticket

    def _leave(self, ticket: Ticket[T], now: float) -> None:
        held = self._held_at(now) - ticket.held_mark
        ticket.held += held
        ticket.queued += max(0.0, now - ticket.entered - held)

    def _held_at(self, now: float) -> float:
        """Return the seconds without a ready replica so far.

        Two readings tell what part of any wait was held.
        """
        since = self._held_since
        return self._held_total if since is None else self._held_total + (now - since)

    def _mark_held(self, now: float) -> None:
        ready = any(place.ready for place in self.places.values())
        if ready and self._held_since is not None:
            self._held_total += now - self._held_since
            self._held_since = None
        elif not ready and self._held_since is None:
            self._held_since = now
