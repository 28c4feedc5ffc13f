"""All that waits for a deployment: in which order, until when, and from which routes.

A part of `queue.py`. First come requests whose stream had begun when its replica failed, by their
return; `fair.py` orders the others. Nobody waits longer than it may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Literal, TypeVar

from headrace.routing.fair import FairOrder
from headrace.routing.ordered import Ordered
from headrace.routing.ticket import Ticket, Want

T = TypeVar("T")

Full = Literal["", "queue", "route"]
"""What has no room for another waiting request: the deployment's queue, or the route's part."""


class Waiting(Generic[T]):
    """Waiting tickets; `limit` and `max_wait` (seconds) are the deployment's bounds.

    One that comes while no other waits is left standing at the door: mostly it goes on at once.
    """

    def __init__(self, limit: int, max_wait: float) -> None:
        self.limit = limit
        self.max_wait = max_wait
        self._lone: Ticket[T] | None = None
        self._returned: Ordered[Ticket[T]] = Ordered()
        self._fair: FairOrder[T] = FairOrder()
        self._by_route: dict[tuple[str, float | None], Ordered[Ticket[T]]] = {}
        """Lines of a route and its longest wait, by when that began."""

    def __len__(self) -> int:
        return 1 if self._lone is not None else len(self._returned) + len(self._fair)

    def __iter__(self) -> Iterator[Ticket[T]]:
        self._seat()
        yield from self._returned
        yield from self._fair

    def routes(self) -> dict[str, int]:
        """Return how many wait for each route that has any."""
        self._seat()
        counts: dict[str, int] = {}
        for (route, _), line in self._by_route.items():
            if line:
                counts[route] = counts.get(route, 0) + len(line)
        return counts

    # -- turns --------------------------------------------------------------------------------

    def add(self, ticket: Ticket[T]) -> None:
        """Let a ticket wait for its turn."""
        ticket.waiting = True
        if not self and ticket.choice is None:
            self._lone = ticket
        else:
            self._seat()
            self._line_up(ticket)

    def first(self) -> Ticket[T] | None:
        """Return the ticket whose turn it is."""
        if self._lone is not None:
            return self._lone
        return (self._returned.first() if self._returned else None) or self._fair.first()

    def take(self, ticket: Ticket[T], cost: float) -> None:
        """Take the first ticket out, whose turn this is; its first turn costs its flow so much."""
        if ticket is self._lone:
            self._fair.serve(ticket, cost)
            self._lone, ticket.waiting = None, False
        elif ticket.returned or ticket.choice is not None:
            self.remove(ticket)
        else:
            self._fair.take(ticket, cost)
            self._left(ticket)

    def remove(self, ticket: Ticket[T]) -> None:
        """Take a waiting ticket out that gets no turn, or one that it has paid for already."""
        if ticket is self._lone:
            self._lone, ticket.waiting = None, False
            return
        if ticket.returned:
            self._returned.drop(ticket)
        else:
            self._fair.remove(ticket)
        self._left(ticket)

    def settle(self, ticket: Ticket[T], cost: float) -> None:
        """Correct what a ticket's turn costs, now that it is known."""
        self._seat()
        self._fair.settle(ticket, cost)

    def ahead(self, want: Want, ticket: Ticket[T] | None = None) -> float:
        """Return the work, in tokens, that goes before a newcomer or before a waiting `ticket`."""
        self._seat()
        if ticket is not None and ticket.returned:
            return 0.0
        return self._fair.ahead(want, ticket) + sum(one.cost for one in self._returned)

    # -- bounds -------------------------------------------------------------------------------

    def full(self, want: Want) -> Full:
        """Return whose limit a newcomer would exceed; empty: it may wait."""
        if want.limit is not None:
            self._seat()
            if len(self._by_route.get((want.route, want.max_wait), ())) >= want.limit:
                return "route"
        return "queue" if len(self) >= self.limit else ""

    def victim(self, want: Want, full: Full) -> Ticket[T] | None:
        """Return whom a newcomer displaces there, or None: it must go itself."""
        self._seat()
        if full == "route":
            return self._fair.victim_of_route(want)
        return self._fair.victim(want, self.limit)

    def set_bounds(self, limit: int, max_wait: float) -> None:
        """Set other bounds; they hold for what waits already."""
        self.limit, self.max_wait = limit, max_wait
        self._by_route = {key: line for key, line in self._by_route.items() if line}

    def next_to_expire(self) -> Iterator[tuple[float, Ticket[T]]]:
        """Yield the first to give up of each line, and when that is (seconds)."""
        self._seat()
        for (_, max_wait), line in self._by_route.items():
            ticket = line.first()
            if ticket is not None:
                yield ticket.patient_from + self._patience(max_wait), ticket

    # -- inside -------------------------------------------------------------------------------

    def _patience(self, max_wait: float | None) -> float:
        return self.max_wait if max_wait is None else min(max_wait, self.max_wait)

    def _seat(self) -> None:
        if self._lone is not None:
            ticket, self._lone = self._lone, None
            self._line_up(ticket)

    def _line_up(self, ticket: Ticket[T]) -> None:
        want, start = ticket.want, ticket.patient_from
        line = self._by_route.get((want.route, want.max_wait))
        if line is None:
            line = self._by_route[want.route, want.max_wait] = Ordered()
        line.put(ticket, start, ticket.number)
        if ticket.returned:
            self._returned.put(ticket, start, ticket.number)
        else:
            promise = self._patience(want.max_wait) if want.ttft is None else want.ttft
            self._fair.add(ticket, start + promise)

    def _left(self, ticket: Ticket[T]) -> None:
        ticket.waiting = False
        self._by_route[ticket.want.route, ticket.want.max_wait].drop(ticket)
