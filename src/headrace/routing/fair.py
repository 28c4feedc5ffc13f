"""Whose request is next: shares of the work by priority, and inside a priority equal ones by flow.

Both levels count what each has got, in tokens of work over its weight, and serve whoever has the
least: start-time fair queueing (Goyal et al. 1996), which for tokens is the virtual token counter
of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024). Whoever was away begins
level with the one served last, so that nobody saves turns up. The estimate is charged when a
request goes to a replica and corrected when its true cost is known. While two flows of a priority
wait, what they get differs by no more than the dearest request of each, and estimates still open.
What was got while nobody waited is forgotten when it is done.

Inside a flow the earliest deadline is next. `flows.py` is one priority; `queue.py` asks who is
next, whom to displace and how much work goes before a newcomer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from headrace.routing.flows import Flows
from headrace.routing.route import WEIGHTS, Priority
from headrace.routing.ticket import Ticket, Want

T = TypeVar("T")


class _Band(Flows[T], Generic[T]):
    """The flows of one priority, and what they all got: `counter` is work over weight."""

    __slots__ = ("counter", "weight")

    def __init__(self, weight: int) -> None:
        super().__init__()
        self.weight = weight
        self.counter = 0.0


class FairOrder(Generic[T]):
    """Waiting tickets, the one whose turn it is first."""

    def __init__(self) -> None:
        self._bands: dict[Priority, _Band[T]] = {p: _Band(w) for p, w in WEIGHTS.items()}
        self._by_importance = tuple(self._bands.values())
        self._floor = 0.0
        """Where one begins that comes back: level with the one served last before its turn."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Ticket[T]]:
        for band in self._by_importance:
            yield from band

    def add(self, ticket: Ticket[T], deadline: float) -> None:
        """Let a ticket wait for its turn; `deadline` in seconds orders it inside its flow."""
        band = self._bands[ticket.want.priority]
        if not band.count and band.counter < self._floor:
            band.counter = self._floor
        band.add(ticket, deadline)
        self._count += 1

    def first(self) -> Ticket[T] | None:
        """Return the ticket whose turn it is."""
        if not self._count:
            return None
        least: _Band[T] | None = None
        for band in self._by_importance:
            if band.count and (least is None or band.counter < least.counter):
                least = band
        return None if least is None else least.first()

    def remove(self, ticket: Ticket[T]) -> None:
        """Take a ticket out that got nothing; it must be waiting."""
        self._bands[ticket.want.priority].remove(ticket)
        self._count -= 1

    def take(self, ticket: Ticket[T], cost: float) -> None:
        """Take the first ticket out, whose turn this is; `cost` in tokens of work is charged."""
        band = self._bands[ticket.want.priority]
        self._charge(band, ticket, cost)
        band.take(ticket, cost)
        self._count -= 1

    def serve(self, ticket: Ticket[T], cost: float) -> None:
        """Charge a ticket that need not wait, while no other does: `add` and `take` in one."""
        band = self._bands[ticket.want.priority]
        band.counter = max(band.counter, self._floor)
        self._charge(band, ticket, cost)
        band.serve(ticket.want.flow, cost)

    def settle(self, ticket: Ticket[T], cost: float) -> None:
        """Correct what a ticket that had its turn was charged, now that its `cost` is known."""
        band = self._bands[ticket.want.priority]
        owed, ticket.charged = cost - ticket.charged, cost
        band.counter += owed / band.weight
        if not self._count:
            self._floor = max(self._floor, band.counter)
        band.settle(ticket.want.flow, owed)

    def ahead(self, want: Want, ticket: Ticket[T] | None = None) -> float:
        """Return the waiting work that goes before a newcomer, or before a waiting `ticket`.

        An estimate, in tokens of work: as if nobody else came.
        """
        own = self._bands[want.priority]
        mine = own.ahead(want.flow, ticket)
        counter = own.counter if own.count else max(own.counter, self._floor)
        reach = counter + mine / own.weight
        for band in self._by_importance:
            if band is not own and band.count and band.counter <= reach:
                turn = band.work / band.count
                mine += min(band.work, (reach - band.counter) * band.weight + turn)
        return mine

    def victim(self, want: Want, limit: int) -> Ticket[T] | None:
        """Return whom a newcomer displaces when `limit` wait, or None: it must go itself.

        Each priority keeps its share of the limit, whoever else comes. What waits beyond that makes
        room for more important requests, the least important first, and for those of a priority
        that has less than its share. Inside a priority a flow with much waiting makes room for one
        with little.
        """
        own = self._bands[want.priority]
        kept = dict(zip(self._by_importance, shares(limit), strict=True))
        in_need = own.count < kept[own]
        for band in reversed(self._by_importance):
            found = None
            if band is own:
                found = own.heavier_than(want.flow, want.work.cost())
            elif band.count > kept[band] and (in_need or band.weight < own.weight):
                found = band.heaviest()
            if found is not None:
                return found
        return None

    def victim_of_route(self, want: Want) -> Ticket[T] | None:
        """Return which request of its own route a newcomer displaces, or None."""
        return self._bands[want.priority].heavier_than(want.flow, want.work.cost(), want.route)

    def _charge(self, band: _Band[T], ticket: Ticket[T], cost: float) -> None:
        self._floor = max(self._floor, band.counter)
        band.counter += cost / band.weight
        ticket.charged = cost


def shares(limit: int) -> tuple[int, ...]:
    """Return what of a queue's limit each priority keeps, the most important first.

    By weight, but at least one; a limit too small for that goes to the most important.
    """
    if limit < len(WEIGHTS):
        return (limit, 0, 0)
    whole, lesser = sum(WEIGHTS.values()), list(WEIGHTS.values())[1:]
    kept = [max(1, limit * weight // whole) for weight in lesser]
    return (limit - sum(kept), *kept)
