"""The flows of one priority: equal shares of its work for each, whatever they ask for.

A part of `fair.py`, which explains the counters. Of a flow with nothing waiting only its counter is
kept, and only while it got more than whoever comes new would begin with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Generic, TypeVar

from headrace.routing.ordered import Ordered
from headrace.routing.ticket import Ticket

T = TypeVar("T")

MUCH = 2
"""A flow makes room for another one that has less than a half of what it has waiting."""
LOOKED_AT = 256
"""Flows looked at to estimate what goes before a newcomer; the rest are taken to be like them."""


class Flow(Generic[T]):
    """One caller's waiting tickets; `counter` is the work it got, `work` what waits.

    `brought` and `left` are sums of the work that came and went while something waited.
    """

    __slots__ = ("brought", "counter", "left", "line", "name", "number")

    def __init__(self, name: str, number: int, counter: float) -> None:
        self.name = name
        self.number = number
        self.counter = counter
        self.line: Ordered[Ticket[T]] = Ordered()
        self.brought = 0.0
        self.left = 0.0

    @property
    def work(self) -> float:
        """Tokens of work that wait."""
        return self.brought - self.left

    def latest(self, route: str | None) -> Ticket[T] | None:
        """Return the latest arrival that no replica has had yet, of a route if one is given."""
        for ticket in reversed(self.line):
            if ticket.choice is None and route in (None, ticket.want.route):
                return ticket
        return None


class Flows(Generic[T]):
    """The waiting tickets of a priority: `count` of them, with `work` tokens of work."""

    __slots__ = ("_active", "_floor", "_flows", "_idle", "_made", "count", "work")

    def __init__(self) -> None:
        self.count = 0
        self.work = 0.0
        self._flows: dict[str, Flow[T]] = {}
        self._active: Ordered[Flow[T]] = Ordered()
        self._idle: Ordered[str] = Ordered()
        self._floor = 0.0
        """Where one that comes new begins: level with the one served last before its turn."""
        self._made = 0

    def __iter__(self) -> Iterator[Ticket[T]]:
        for flow in self._active:
            yield from flow.line

    @property
    def remembered(self) -> int:
        """How many flows take memory."""
        return len(self._flows) + len(self._idle)

    # -- turns --------------------------------------------------------------------------------

    def add(self, ticket: Ticket[T], deadline: float) -> None:
        """Let a ticket wait in its flow."""
        flow, cost = self._flows.get(ticket.want.flow), ticket.cost
        if flow is None:
            flow = self._begin(ticket.want.flow)
        ticket.before = flow.brought
        flow.brought += cost
        flow.line.put(ticket, deadline, ticket.number)
        self.count += 1
        self.work += cost

    def first(self) -> Ticket[T] | None:
        """Return the most urgent ticket of the flow that got least."""
        flow = self._active.first()
        return None if flow is None else flow.line.first()

    def take(self, ticket: Ticket[T], cost: float) -> None:
        """Take the first ticket out and charge its flow."""
        flow = self._flows[ticket.want.flow]
        self._raise_floor(flow.counter)
        flow.counter += cost
        if len(flow.line) > 1:
            self._active.put(flow, flow.counter, flow.number)
        self.remove(ticket)

    def serve(self, name: str, cost: float) -> None:
        """Charge a flow for a request that was alone: `add` and `take` when nothing waits."""
        start = self._start(name)
        self._raise_floor(start)
        self._made += 1
        self._idle.put(name, start + cost, self._made)

    def remove(self, ticket: Ticket[T]) -> None:
        """Take a waiting ticket out."""
        flow = self._flows[ticket.want.flow]
        flow.line.drop(ticket)
        flow.left += ticket.cost
        self.count -= 1
        self.work = self.work - ticket.cost if self.count else 0.0
        if not flow.line:
            del self._flows[flow.name]
            self._active.drop(flow)
            if flow.counter > self._floor:
                self._idle.put(flow.name, flow.counter, flow.number)

    def settle(self, name: str, owed: float) -> None:
        """Charge a flow (or give back) what an estimate was wrong by.

        While nothing waits, whoever comes new begins level with the flow: it keeps nobody waiting.
        """
        flow = self._flows.get(name)
        if flow is not None:
            flow.counter += owed
            self._active.put(flow, flow.counter, flow.number)
            return
        counter = self._start(name) + owed if name in self._idle or owed > 0 else self._floor
        if not self.count:
            self._raise_floor(counter)
        if counter > self._floor:
            self._made += 1
            self._idle.put(name, counter, self._made)

    # -- what waits ---------------------------------------------------------------------------

    def ahead(self, name: str, ticket: Ticket[T] | None) -> float:
        """Return the work of this priority that goes before a flow's newcomer, or its `ticket`."""
        own, mine = self._flows.get(name), 0.0
        if own is not None:
            mine = own.work if ticket is None else max(0.0, ticket.before - own.left)
        counter = self._beginning(name) if own is None else own.counter
        reach, others = counter + mine, 0.0
        for flow in islice(self._active, LOOKED_AT):
            if flow is not own and flow.counter <= reach:
                turn = flow.work / len(flow.line)
                others += min(flow.work, reach - flow.counter + turn)
        return mine + others * max(1.0, len(self._active) / LOOKED_AT)

    def heaviest(self) -> Ticket[T] | None:
        """Return the latest arrival of the flow with most waiting work."""
        return _latest(self._active, None)

    def heavier_than(self, name: str, cost: int, route: str | None = None) -> Ticket[T] | None:
        """Return whom a flow's newcomer displaces, of a route if one is given.

        That is the latest of the heaviest flow, if it has more than twice what the newcomer's has
        with it, or if that one has nothing waiting. Nobody loses the only request that waits.
        """
        own = self._flows.get(name)
        least = 0.0 if own is None else MUCH * (own.work + cost)
        heavy = [flow for flow in self._active if flow.work > least and len(flow.line) > 1]
        return _latest(heavy, route)

    # -- inside -------------------------------------------------------------------------------

    def _begin(self, name: str) -> Flow[T]:
        self._made += 1
        flow: Flow[T] = Flow(name, self._made, self._start(name))
        self._flows[name] = flow
        self._active.put(flow, flow.counter, flow.number)
        return flow

    def _start(self, name: str) -> float:
        """Return where a flow begins that had nothing waiting; it is idle no more."""
        start = self._beginning(name)
        if name in self._idle:
            self._idle.drop(name)
        return start

    def _beginning(self, name: str) -> float:
        idle = self._idle.get(name)
        return self._floor if idle is None or idle[0] < self._floor else idle[0]

    def _raise_floor(self, counter: float) -> None:
        """Raise it, if it is lower, and forget whom that makes no different from newcomers."""
        if counter > self._floor:
            self._floor = counter
            while (name := self._idle.first()) is not None and self._idle.key(name) <= counter:
                self._idle.drop(name)


def _latest(flows: Iterable[Flow[T]], route: str | None) -> Ticket[T] | None:
    """Return whom the heaviest flow that can gives up."""
    for flow in sorted(flows, key=attrgetter("work"), reverse=True):
        ticket = flow.latest(route)
        if ticket is not None:
            return ticket
    return None
