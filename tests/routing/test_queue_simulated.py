"""What callers feel, in virtual time: replicas that take work as `WorkQueue` says."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from headrace.routing.queue import WorkQueue
from headrace.routing.route import Priority
from headrace.routing.ticket import Ticket, Want
from headrace.routing.work import Work

SPEED = 1000
"""Tokens of work that one slot of a replica does in a second."""


class Arrival(NamedTuple):
    """A request of a key; `work` in tokens of prompt."""

    at: float
    key: str
    work: int
    priority: Priority = "normal"


@dataclass
class Simulation:
    """Replicas by their slots; a request takes a slot for its work over `SPEED`."""

    slots: dict[str, int]
    fair: bool = True
    waits: dict[str, list[float]] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def run(self, arrivals: Iterable[Arrival]) -> None:
        queue: WorkQueue[Arrival] = WorkQueue(limit=10_000, max_wait=1e6)
        queue.set_places([(name, slots, True) for name, slots in self.slots.items()], 0.0)
        events: list[tuple[float, int, Arrival | Ticket[Arrival]]] = [
            (one.at, number, one) for number, one in enumerate(arrivals)
        ]
        heapq.heapify(events)
        while events:
            now, _, what = heapq.heappop(events)
            if isinstance(what, Ticket):
                queue.settle(what, what.want.work, now)
                queue.release(what)
            else:
                key = what.key if self.fair else "everybody"
                priority = what.priority if self.fair else "normal"
                queue.submit(what, now, Want("route", key, priority, Work(what.work, 0)))
            for ticket, place in queue.assign(now):
                self.waits.setdefault(ticket.item.key, []).append(now - ticket.arrived)
                self.places.setdefault(ticket.item.key, []).append(place.id)
                end = now + ticket.item.work / SPEED
                heapq.heappush(events, (end, 10**6 + ticket.number, ticket))


DOCUMENT, CHAT = 10_000, 100
"""10 s and 0.1 s of a slot."""
FLOOD = [Arrival(0.0, "flood", DOCUMENT) for _ in range(50)]
CHATS = [Arrival(1.0 + 5 * number, "chat", CHAT) for number in range(40)]


def test_a_flood_of_documents_makes_short_ones_wait_for_one_of_them_not_for_all() -> None:
    """Chats come at 1, 6, 11, ... s and take 0.1 s, documents take 10 s.

    In line the first waits for all 50 documents, and the next ones 4.9 s less each. In fair order
    they go as soon as the document being read is done, at 10, 20.2, 30.4, ... s, two at a time.
    """
    line, fair = Simulation({"one": 1}, fair=False), Simulation({"one": 1})
    line.run(FLOOD + CHATS)
    fair.run(FLOOD + CHATS)
    assert line.waits["chat"] == pytest.approx([499 - 4.9 * number for number in range(40)])
    assert max(fair.waits["chat"]) < 10
    expected = [wait + 0.2 * number for number in range(5) for wait in (9.0, 4.1)]
    assert fair.waits["chat"][:10] == pytest.approx(expected)
    # The flood pays no more than the chats' work: 40 * 0.1 s.
    assert max(fair.waits["flood"]) - max(line.waits["flood"]) <= 4.0 + 1e-6


def test_two_floods_share_by_work() -> None:
    """Two keys want 100 s each of one slot: 10 documents, or 1000 chats. Half and half all along."""
    both = Simulation({"one": 1})
    both.run(
        [Arrival(0.0, "documents", DOCUMENT) for _ in range(10)]
        + [Arrival(0.0, "chats", CHAT) for _ in range(1000)]
    )
    # By the start of the k-th document chats have had as much as the k before it, more or less one.
    for number, wait in enumerate(both.waits["documents"]):
        assert wait == pytest.approx(2 * 10 * number, abs=10.1)
    for number, wait in enumerate(both.waits["chats"]):
        assert wait == pytest.approx(2 * 0.1 * number, abs=10.1)


def test_priorities_wait_by_their_weights_and_none_for_all() -> None:
    """1000 requests of 0.1 s for each priority at once.

    High has 16 of 21 parts until it is done after 100 / (16 / 21) = 131 s; by then normal has had
    131 * 4 / 21 = 25 s. Then it has 4 of 5: its other 75 s take 94, until 225 s. Low ends at 300.
    """
    three = Simulation({"one": 1})
    three.run(
        [
            Arrival(0.0, priority, CHAT, priority)
            for priority in ("low", "normal", "high")
            for _ in range(1000)
        ]  # type: ignore[arg-type]  # a tuple of literals
    )
    ends = {name: waits[-1] for name, waits in three.waits.items()}
    assert ends == pytest.approx({"high": 131, "normal": 225, "low": 300}, abs=1.0)
    assert three.waits["low"][1] <= 2.31  # 16 and 4 turns of 0.1 s, and one more of each


def test_a_long_prefill_holds_up_nobody_while_another_replica_has_room() -> None:
    """A document of 100 s goes to one of two replicas; 80 chats, 1 a second, all to the other."""
    two = Simulation({"one": 8, "two": 8})
    two.run(
        [Arrival(0.0, "document", 10 * DOCUMENT)]
        + [Arrival(1.0 + number, "chat", CHAT) for number in range(80)]
    )
    (taken,) = two.places["document"]
    assert set(two.places["chat"]) == {"one", "two"} - {taken}
    assert max(two.waits["chat"]) == 0.0
