"""Late binding: one queue for each deployment, and the replicas that take work from it.

A request is bound to a replica only when that replica has room, so a new replica takes waiting
work at once, a slow one hoards nothing and a draining one gets nothing. Pure data: the caller
brings the clock (`now`, in seconds from any fixed start, never going back) and carries out what
`submit`, `assign` and `expired` return. The gateway drives it with a real clock, a simulator with a
virtual one. `waiting.py` says whose turn it is, `choose.py` on which replica, `pace.py` how soon.

There is room for all alike: while the next request finds none, nobody behind it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from headrace.routing.adapters import places_for
from headrace.routing.choose import Choice, Place, choose
from headrace.routing.pace import Pace, expected_wait
from headrace.routing.prefix import PrefixIndex
from headrace.routing.ticket import Ticket, Want
from headrace.routing.waiting import Full, Waiting
from headrace.routing.work import Work

T = TypeVar("T")


class Submitted(NamedTuple, Generic[T]):
    """A newcomer's ticket, or None where `refused` says what was full.

    `displaced` is a waiting request that had to make room: the caller refuses it.
    """

    ticket: Ticket[T] | None = None
    displaced: Ticket[T] | None = None
    refused: Full = ""


class WorkQueue(Generic[T]):
    """Waiting requests in order, and replicas with their work in flight.

    `limit` bounds how many wait; `max_wait` bounds how long, in seconds since a request's arrival,
    or since its return once its stream had begun. With an `index` the replicas' caches count in the
    choice; `slow_start` (seconds) is a new replica's.
    """

    def __init__(
        self,
        limit: int,
        max_wait: float,
        now: float = 0.0,
        *,
        index: PrefixIndex | None = None,
        slow_start: float = 0.0,
    ) -> None:
        self.index = index
        self.slow_start = slow_start
        self.places: dict[str, Place] = {}
        self.pace = Pace()
        self._waiting: Waiting[T] = Waiting(limit, max_wait)
        self._running_by_route: dict[str, int] = {}
        self._count = 0
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
        return 0 if self.any_ready else self.waiting

    @property
    def queued(self) -> int:
        """How many wait for room on a ready replica."""
        return self.waiting if self.any_ready else 0

    @property
    def running(self) -> int:
        """How many are bound to a replica."""
        return sum(place.running for place in self.places.values())

    def tickets(self) -> list[Ticket[T]]:
        """Return all that wait, in no order that means anything."""
        return list(self._waiting)

    def waiting_by_route(self) -> dict[str, int]:
        """Return how many wait, held or queued, for each route that has any."""
        return self._waiting.routes()

    def running_by_route(self) -> dict[str, int]:
        """Return how many are bound, also to replicas that were replaced, for each such route."""
        return {route: count for route, count in self._running_by_route.items() if count}

    def next_event(self, now: float) -> float | None:
        """Return when `assign` or `expired` may have something new by time alone, or None."""
        if not self.waiting:
            return None
        times = [at for at, _ in self._waiting.next_to_expire()]
        for place in self.places.values():
            if place.wants_work:
                times += [at for at in (place.skip_until, place.health.until) if at > now]
        return min(times)

    def expected_wait(
        self,
        want: Want,
        now: float,
        *,
        until_ready: float | None = None,
        ticket: Ticket[T] | None = None,
    ) -> float | None:
        """Return in how many seconds a newcomer, or a waiting `ticket`, is taken; None: unknown.

        `until_ready` is in how many seconds the next replica is ready, for when none is.
        """
        if not self._waiting and self._has_room():
            return 0.0
        if not self.any_ready and until_ready is None:
            return None
        ahead, rate = self._waiting.ahead(want, ticket), self.pace.rate(now)
        return expected_wait(ahead, rate, None if self.any_ready else until_ready)

    # -- requests -----------------------------------------------------------------------------

    def submit(self, item: T, now: float, want: Want) -> Submitted[T]:
        """Let a request wait for its turn.

        When there is no room to wait, and no replica can take it at once, it displaces a less
        important one or is refused.
        """
        displaced, full = None, self._waiting.full(want)
        if full and (self.waiting or self._choose(want, now) is None):
            displaced = self._waiting.victim(want, full)
            if displaced is None:
                return Submitted(refused=full)
            self.withdraw(displaced, now)
        self._count += 1
        ticket = Ticket(item, want, self._count, max(1, want.work.cost()), now, now)
        self._enter(ticket, now)
        return Submitted(ticket, displaced)

    def resubmit(
        self, ticket: Ticket[T], now: float, *, deadline_from: float | None = None
    ) -> None:
        """Let a request that a replica did not finish wait again, in its turn.

        `deadline_from` is for one whose stream had begun: its `max_wait` counts from then, and it
        goes before all that have not begun. No limit counts, nor is it charged again or displaced:
        it was accepted before.
        """
        if deadline_from is not None:
            ticket.patient_from, ticket.returned = deadline_from, True
        self._enter(ticket, now)

    def withdraw(self, ticket: Ticket[T], now: float) -> bool:
        """Take a waiting request out; False when it was not waiting."""
        if not ticket.waiting:
            return False
        self._waiting.remove(ticket)
        self._leave(ticket, now)
        return True

    def assign(self, now: float) -> Iterator[tuple[Ticket[T], Place]]:
        """Bind waiting requests in their turn, first those that came back, while there is room.

        The caller sends them off.
        """
        while (ticket := self._waiting.first()) is not None:
            choice = self._choose(ticket.want, now)
            if choice is None:
                self.pace.waits(now, something=self.any_ready)
                return
            self._bind(ticket, choice, now)
            yield ticket, choice.place

    def prefilled(self, ticket: Ticket[T]) -> None:
        """Take note that a replica has read a request's prompt: its answer began."""
        if ticket.bound is not None:
            ticket.bound.prefilled()

    def settle(self, ticket: Ticket[T], done: Work, now: float, *, cached: int = 0) -> None:
        """Take note of what a request really was, once it is over; `cached` in prompt tokens.

        One that ends without it is charged what was estimated.
        """
        cost = max(1, done.cost(cached))
        self._waiting.settle(ticket, cost)
        self.pace.finished(now, cost)

    def release(self, ticket: Ticket[T]) -> None:
        """Give back the room that a bound request took."""
        bound, ticket.bound = ticket.bound, None
        if bound is None:
            raise ValueError("the ticket is not bound to a replica")
        bound.unbind()
        self._running_by_route[ticket.want.route] -= 1
        bound.place.health.released(bound.place.running)
        self._forget_if_done(bound.place)

    def expired(self, now: float) -> Iterator[Ticket[T]]:
        """Take out the requests that have waited longer than they may."""
        while due := [ticket for at, ticket in self._waiting.next_to_expire() if at <= now]:
            for ticket in due:
                self.withdraw(ticket, now)
                yield ticket

    def abandon(self, now: float) -> list[Ticket[T]]:
        """Take every waiting request out (the deployment is gone, or the gateway ends)."""
        tickets = self.tickets()
        for ticket in tickets:
            self.withdraw(ticket, now)
        return tickets

    def set_bounds(self, limit: int, max_wait: float) -> None:
        """Set other bounds; they hold for what waits already."""
        self._waiting.set_bounds(limit, max_wait)

    # -- replicas -----------------------------------------------------------------------------

    def set_places(self, wanted: Iterable[tuple[str, int, bool]], now: float) -> None:
        """Replace the replicas by `(id, room, takes new work)`.

        One that is gone stays until it is empty. One that becomes ready beside others starts
        slowly, and what is known of the pace holds no more.
        """
        others = self.any_ready
        listed = {name: (room, ready) for name, room, ready in wanted}
        for name, (room, ready) in listed.items():
            place = self.places.setdefault(name, Place(name, room, ready=False))
            if ready and not place.ready:
                place.ready_at = now if others else place.ready_at
                self.pace.forget()
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
        if self.index is not None:
            self.index.forget(name)
        if old is not None:
            old.ready = old.listed = False
            self._mark_held(now)

    def skip(self, place: Place, until: float) -> None:
        """Give a replica no new work before `until`, because it has just refused some."""
        place.skip_until = until

    # -- inside -------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        for place in self.places.values():  # noqa: SIM110 - for each request: any() takes longer
            if place.ready and place.running < place.room:
                return True
        return False

    def _choose(self, want: Want, now: float) -> Choice | None:
        places: Mapping[str, Place] = self.places
        if want.adapter is not None:
            places = places_for(want.adapter, places)
        return choose(places, want.work, now, self.index, self.slow_start)

    def _bind(self, ticket: Ticket[T], choice: Choice, now: float) -> None:
        work, adapter = ticket.want.work, ticket.want.adapter
        self._waiting.take(ticket, max(1, work.cost(choice.cached)))
        self._leave(ticket, now)
        ticket.choice, ticket.bound = choice, choice.place.bind(work, choice.cached, adapter)
        choice.place.health.sent(now)
        if self.index is not None and work.prefix:
            self.index.note(choice.place.id, work.prefix)
        running, route = self._running_by_route, ticket.want.route
        running[route] = running.get(route, 0) + 1

    def _forget_if_done(self, place: Place) -> None:
        if not place.listed and not place.running and self.places.get(place.id) is place:
            del self.places[place.id]
            if self.index is not None:
                self.index.forget(place.id)

    def _enter(self, ticket: Ticket[T], now: float) -> None:
        ticket.entered, ticket.held_mark = now, self._held_at(now)
        self._waiting.add(ticket)

    def _leave(self, ticket: Ticket[T], now: float) -> None:
        held = self._held_at(now) - ticket.held_mark
        ticket.held += held
        ticket.queued += max(0.0, now - ticket.entered - held)
        if not self._waiting:
            self.pace.waits(now, something=False)

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
        self.pace.waits(now, something=ready and self.waiting > 0)
