"""Who makes room when a queue is full, and that nobody is shut out for ever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.routing.fair import shares
from headrace.routing.queue import Submitted, WorkQueue
from headrace.routing.route import WEIGHTS, Priority
from headrace.routing.ticket import Ticket, Want
from headrace.routing.work import Work


def want(
    flow: str = "somebody",
    priority: Priority = "normal",
    cost: int = 100,
    route: str = "chat",
    limit: int | None = None,
) -> Want:
    return Want(route, flow, priority, Work(cost, 0), limit=limit)


def full_queue(*wants: Want) -> WorkQueue[int]:
    """Return a queue that is full with these requests, numbered from 0."""
    queue: WorkQueue[int] = WorkQueue(limit=len(wants), max_wait=60)
    for number, one in enumerate(wants):
        assert queue.submit(number, float(number), one).ticket is not None
    return queue


def displaced(result: Submitted[int]) -> int | None:
    """Return the number of the displaced request; None: the newcomer was refused."""
    assert (result.ticket is None) == (result.displaced is None) == bool(result.refused)
    if result.displaced is None:
        return None
    assert not result.displaced.waiting
    return result.displaced.item


def test_the_least_important_makes_room_first() -> None:
    queue = full_queue(*[want(priority=p) for p in ("normal", "low", "low", "normal", "normal")])
    assert displaced(queue.submit(10, 9.0, want(priority="high"))) == 2  # the latest low one
    assert displaced(queue.submit(11, 9.0, want(priority="high"))) == 4  # low keeps its share
    assert displaced(queue.submit(12, 9.0, want(priority="high"))) == 3
    assert displaced(queue.submit(13, 9.0, want(priority="high"))) is None
    assert queue.waiting == 5


def test_a_priority_gets_its_share_of_a_queue_that_others_filled() -> None:
    queue = full_queue(*[want(priority="high")] * 42)
    # Of 42 places high keeps 32, normal 8 and low 2.
    got = [displaced(queue.submit(99, 50.0, want("a", "low"))) for _ in range(3)]
    assert got == [41, 40, None]
    got = [displaced(queue.submit(99, 50.0, want("a"))) for _ in range(9)]
    assert got == [39, 38, 37, 36, 35, 34, 33, 32, None]


@given(st.integers(0, 100_000))
def test_shares_of_a_queue_add_up(limit: int) -> None:
    high, normal, low = shares(limit)
    assert high + normal + low == limit
    if limit >= 3:
        assert min(high, normal, low) >= 1
        assert low <= normal <= high
    if limit >= 21:
        assert (normal, low) == (4 * limit // 21, limit // 21)


def test_a_flow_with_much_waiting_makes_room_for_one_with_little() -> None:
    queue = full_queue(*[want("flood")] * 5, want("other"))
    assert displaced(queue.submit(10, 9.0, want("new"))) == 4  # it has nothing waiting
    assert displaced(queue.submit(11, 9.0, want("new", cost=50))) == 3  # 400 > 2 * (100 + 50)
    assert displaced(queue.submit(12, 9.0, want("new", cost=50))) is None  # 300 < 2 * (150 + 50)
    assert displaced(queue.submit(13, 9.0, want("flood"))) is None


def test_the_heavier_flow_is_the_one_with_more_work() -> None:
    queue = full_queue(*[want("documents", cost=5000)] * 2, *[want("chats")] * 4)
    assert displaced(queue.submit(10, 9.0, want("new"))) == 1


def test_nobody_loses_the_only_request_that_waits_to_its_own_kind() -> None:
    queue = full_queue(*[want(name, cost=5000) for name in "abc"])
    assert displaced(queue.submit(10, 9.0, want("new", cost=1))) is None


def test_a_document_finds_room_among_many_short_ones() -> None:
    queue = full_queue(*[want("flood", cost=1)] * 3)
    assert displaced(queue.submit(10, 9.0, want("new", cost=100_000))) == 2


def test_what_came_back_is_never_displaced() -> None:
    queue = full_queue(want("flood"), want("flood"))
    queue.set_places([("one", 2, True)], 9.0)
    tickets = [ticket for ticket, _ in queue.assign(9.0)]
    for number, ticket in enumerate(tickets):
        queue.release(ticket)
        queue.resubmit(ticket, 9.0, deadline_from=9.0 if number else None)
    queue.set_places([], 9.0)
    assert displaced(queue.submit(10, 9.0, want("new", "high"))) is None


def test_the_limit_of_a_route_is_its_own_affair() -> None:
    queue: WorkQueue[int] = WorkQueue(limit=10, max_wait=60)
    narrow = want(route="narrow", limit=1)
    assert queue.submit(0, 0.0, narrow).ticket
    assert queue.submit(1, 0.0, narrow).refused == "route"
    assert queue.submit(2, 0.0, want()).ticket
    assert queue.submit(3, 0.0, want(route="none", limit=0)).refused == "route"
    assert queue.waiting_by_route() == {"narrow": 1, "chat": 1}


def test_within_a_route_that_is_full_a_flood_makes_room() -> None:
    queue: WorkQueue[int] = WorkQueue(limit=10, max_wait=60)
    for number in range(4):
        queue.submit(number, 0.0, want("flood"))
    for number in (4, 5):
        queue.submit(number, 0.0, want("flood", route="narrow", limit=2))
    assert displaced(queue.submit(6, 0.0, want("new", route="narrow", limit=2))) == 5
    assert queue.waiting_by_route() == {"chat": 4, "narrow": 2}


def test_counts_by_route() -> None:
    queue: WorkQueue[int] = WorkQueue(limit=10, max_wait=60)
    queue.set_places([("one", 2, True)], 0.0)
    for route in ("a", "a", "b", "b"):
        queue.submit(0, 0.0, want(route=route))
    tickets = [ticket for ticket, _ in queue.assign(0.0)]
    assert queue.running_by_route() == {"a": 2}
    assert queue.waiting_by_route() == {"b": 2}
    queue.release(tickets[0])
    assert queue.running_by_route() == {"a": 1}
    queue.release(tickets[1])
    assert queue.running_by_route() == {}
    with pytest.raises(ValueError, match="not bound"):
        queue.release(tickets[1])


def test_the_longest_wait_of_a_route_counts_within_that_of_the_deployment() -> None:
    queue: WorkQueue[int] = WorkQueue(limit=10, max_wait=20)
    for number, longest in enumerate((None, 5.0, 90.0)):
        queue.submit(number, 0.0, want(route=str(number))._replace(max_wait=longest))
    assert queue.next_event(0.0) == 5.0
    assert [ticket.item for ticket in queue.expired(5.0)] == [1]
    queue.set_bounds(10, 7.0)
    assert queue.next_event(5.0) == 7.0
    assert sorted(ticket.item for ticket in queue.expired(7.0)) == [0, 2]
    assert queue.next_event(7.0) is None


class Overloaded(RuleBasedStateMachine):
    """Requests of all kinds at a small queue: each ends in one way, and none is shut out."""

    LIMIT = 6

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue: WorkQueue[int] = WorkQueue(limit=self.LIMIT, max_wait=30)
        self.queue.set_places([("one", 2, True)], 0.0)
        self.waiting: set[Ticket[int]] = set()
        self.running: list[Ticket[int]] = []

    def count(self, priority: Priority) -> int:
        return sum(one.want.priority == priority and not one.returned for one in self.waiting)

    @rule(
        flow=st.sampled_from("ab"),
        priority=st.sampled_from(sorted(WEIGHTS)),
        cost=st.integers(0, 1000),
        limit=st.sampled_from([None, None, 3]),
    )
    def arrive(self, flow: str, priority: Priority, cost: int, limit: int | None) -> None:
        one = want(flow, priority, cost, f"{priority} {limit}", limit)
        came_back = any(ticket.choice for ticket in self.waiting)
        got = self.queue.submit(0, self.now, one)
        if got.displaced is not None:
            self.waiting.remove(got.displaced)
            assert got.displaced.choice is None
        if got.ticket is not None:
            self.waiting.add(got.ticket)
        elif got.refused == "queue":
            assert len(self.waiting) >= self.LIMIT
            kept = dict(zip(WEIGHTS, shares(self.LIMIT), strict=True))[priority]
            assert came_back or self.count(priority) >= kept
            flows = {t.want.flow for t in self.waiting if t.want.priority == priority}
            alone = len(flows) == self.count(priority)
            assert came_back or flow in flows or alone
        self.bind()

    def bind(self) -> None:
        for ticket, place in self.queue.assign(self.now):
            self.waiting.remove(ticket)
            self.running.append(ticket)
            assert place.running <= place.room
        assert not self.waiting or len(self.running) == 2

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), how=st.sampled_from(["done", "done", "back", "begun"]))
    def end(self, which: int, how: str) -> None:
        ticket = self.running.pop(which % len(self.running))
        self.queue.settle(ticket, Work(which * 100, 0), self.now)
        self.queue.release(ticket)
        if how != "done":
            self.queue.resubmit(
                ticket, self.now, deadline_from=self.now if how == "begun" else None
            )
            self.waiting.add(ticket)
        self.bind()

    @rule(seconds=st.integers(0, 20))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.waiting.difference_update(self.queue.expired(self.now))

    @invariant()
    def all_are_accounted_for(self) -> None:
        assert set(self.queue.tickets()) == self.waiting
        assert sum(self.queue.waiting_by_route().values()) == len(self.waiting)
        assert sum(self.queue.running_by_route().values()) == self.queue.running
        assert sum(not one.choice for one in self.waiting) <= self.LIMIT
        for one in self.waiting:
            wait = self.queue.expected_wait(one.want, self.now, ticket=one)
            assert wait is None or wait >= 0


Overloaded.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOverloaded = Overloaded.TestCase
