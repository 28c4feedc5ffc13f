"""Late binding: one queue for each deployment, and the replicas that take work from it.

A request is bound to a replica only when that replica has room, so a new replica takes waiting
work at once, a slow one hoards nothing and a draining one gets nothing. Pure data: the caller
brings the clock (`now`, in seconds from any fixed start, never going back) and carries out what
`assign` and `expired` return. The gateway drives it with a real clock, a simulator with a virtual
one. `choose.py` says which replica; `pace.py` says when a refused client should come back.

Requests whose stream had begun when its replica failed come first and by their return, so that
their clients see a short pause; the others follow by arrival.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeAlias, TypeVar

from headrace.routing.choose import Place, choose

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One request's place in the queue, and how long it has waited so far (seconds).

    `held` is waiting while no replica was ready, `queued` while all ready ones were full.
    `patient_from` is when its `max_wait` began: its arrival, or its last return.
    """

    item: T
    arrived: float
    patient_from: float
    returned: bool = False
    """Whether its stream had begun before it came back."""
    held: float = 0.0
    queued: float = 0.0
    entered: float = 0.0
    held_mark: float = 0.0


Line: TypeAlias = OrderedDict[int, Ticket[T]]
"""Waiting tickets by identity, in the order of `patient_from`."""


class WorkQueue(Generic[T]):
    """Waiting requests in order, and replicas with their work in flight.

    `limit` bounds how many wait; `max_wait` bounds how long, in seconds since a request's arrival,
    or since its return once its stream had begun.
    """

    def __init__(self, limit: int, max_wait: float, now: float = 0.0) -> None:
        self.limit = limit
        self.max_wait = max_wait
        self.places: dict[str, Place] = {}
        self._returned: Line[T] = OrderedDict()
        self._arrived: Line[T] = OrderedDict()
        self._held_total = 0.0
        self._held_since: float | None = now

    # -- what is so ---------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._returned) + len(self._arrived)

    @property
    def any_ready(self) -> bool:
        """Whether at least one replica takes new work (now or when it has room)."""
        return self._held_since is None

    @property
    def held(self) -> int:
        """How many wait for a replica to become ready."""
        return 0 if self.any_ready else self.waiting

    @property
    def queued(self) -> int:
        """How many wait for room on a ready replica."""
        return self.waiting if self.any_ready else 0

    @property
    def running(self) -> int:
        """How many are bound to a replica."""
        return sum(place.running for place in self.places.values())

    def next_event(self, now: float) -> float | None:
        """Return when `assign` or `expired` may have something new by time alone, or None."""
        heads = [line for line in self._lines() if line]
        if not heads:
            return None
        times = [_first(line).patient_from + self.max_wait for line in heads]
        for place in self.places.values():
            if place.wants_work:
                times += [at for at in (place.skip_until, place.health.until) if at > now]
        return min(times)

    # -- requests -----------------------------------------------------------------------------

    def submit(self, item: T, now: float) -> Ticket[T] | None:
        """Append a request; None when the queue is full and no replica can take it at once."""
        if self.waiting >= self.limit and (self.waiting or self._choose(now) is None):
            return None
        ticket = Ticket(item, now, now)
        self._enter(ticket, now)
        return ticket

    def resubmit(
        self, ticket: Ticket[T], now: float, *, deadline_from: float | None = None
    ) -> None:
        """Put a request that a replica did not finish back near the head, where its turn was.

        `deadline_from` is for one whose stream had begun: its `max_wait` counts from then, and it
        goes before all that have not begun. The limit does not count: it was accepted before.
        """
        if deadline_from is not None:
            ticket.patient_from, ticket.returned = deadline_from, True
        line = self._line_of(ticket)
        older = None if _comes_last(ticket, line) else _before(ticket, line)
        self._enter(ticket, now)
        if older is not None:
            for other in (ticket, *reversed(older)):
                line.move_to_end(id(other), last=False)

    def withdraw(self, ticket: Ticket[T], now: float) -> bool:
        """Take a waiting request out; False when it was not waiting."""
        if self._line_of(ticket).pop(id(ticket), None) is None:
            return False
        self._leave(ticket, now)
        return True

    def assign(self, now: float) -> Iterator[tuple[Ticket[T], Place]]:
        """Bind waiting requests, first those that came back, then the oldest, while there is room.

        The caller sends them off.
        """
        while (line := self._returned or self._arrived) and (place := self._choose(now)):
            _, ticket = line.popitem(last=False)
            self._leave(ticket, now)
            place.running += 1
            place.health.sent(now)
            yield ticket, place

    def expired(self, now: float) -> Iterator[Ticket[T]]:
        """Take out the requests that have waited longer than `max_wait`."""
        for line in self._lines():
            while line and now >= (ticket := _first(line)).patient_from + self.max_wait:
                self.withdraw(ticket, now)
                yield ticket

    def abandon(self, now: float) -> list[Ticket[T]]:
        """Take every waiting request out (the deployment is gone, or the gateway ends)."""
        tickets = [ticket for line in self._lines() for ticket in line.values()]
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

    def renew(self, name: str, now: float) -> None:
        """Begin a new life of a replica: another process has its id, and none of its history.

        What is bound to the old one still ends there and counts no more.
        """
        old = self.places.pop(name, None)
        if old is not None:
            old.ready = old.listed = False
            self._mark_held(now)

    def release(self, place: Place) -> None:
        """Give back the room that one bound request took."""
        place.running -= 1
        place.health.released(place.running)
        self._forget_if_done(place)

    def skip(self, place: Place, until: float) -> None:
        """Give a replica no new work before `until`, because it has just refused some."""
        place.skip_until = until

    # -- inside -------------------------------------------------------------------------------

    def _lines(self) -> tuple[Line[T], Line[T]]:
        return self._returned, self._arrived

    def _line_of(self, ticket: Ticket[T]) -> Line[T]:
        return self._returned if ticket.returned else self._arrived

    def _choose(self, now: float) -> Place | None:
        return choose(self.places.values(), now)

    def _forget_if_done(self, place: Place) -> None:
        if not place.listed and not place.running and self.places.get(place.id) is place:
            del self.places[place.id]

    def _enter(self, ticket: Ticket[T], now: float) -> None:
        ticket.entered, ticket.held_mark = now, self._held_at(now)
        self._line_of(ticket)[id(ticket)] = ticket

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


def _first(line: Line[T]) -> Ticket[T]:
    return next(iter(line.values()))


def _comes_last(ticket: Ticket[T], line: Line[T]) -> bool:
    return not line or next(reversed(line.values())).patient_from < ticket.patient_from


def _before(ticket: Ticket[T], line: Line[T]) -> list[Ticket[T]]:
    return list(takewhile(lambda one: one.patient_from < ticket.patient_from, line.values()))
