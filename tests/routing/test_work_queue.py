"""Late binding, as a model that must hold whatever happens in whatever order."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.routing.choose import Place, choose
from headrace.routing.prefix import Mark, PrefixIndex
from headrace.routing.queue import WorkQueue
from headrace.routing.ticket import Ticket, Want
from headrace.routing.work import Work

WANT = Want("chat", "somebody", "normal", Work(0, 0))


def assigned(queue: WorkQueue[str], now: float) -> list[tuple[str, str]]:
    return [(ticket.item, place.id) for ticket, place in queue.assign(now)]


def test_nothing_is_bound_before_there_is_room() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    for name in "abc":
        queue.submit(name, 0.0, WANT)
    assert (queue.held, queue.queued, queue.running) == (3, 0, 0)
    queue.set_places([("one", 2, True)], 1.0)
    assert assigned(queue, 1.0) == [("a", "one"), ("b", "one")]
    assert (queue.held, queue.queued, queue.running) == (0, 1, 2)
    queue.set_places([("one", 2, True), ("two", 2, True)], 2.0)
    assert assigned(queue, 2.0) == [("c", "two")]


def test_waits_are_told_apart() -> None:
    """Ready at 3, gone from 5 to 9, room at 11: held 3 + 4, queued 2 + 2."""
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    ticket = queue.submit("a", 0.0, WANT).ticket
    assert ticket is not None
    queue.set_places([("one", 0, True)], 3.0)
    queue.set_places([("one", 0, False)], 5.0)
    queue.set_places([("one", 0, True)], 9.0)
    queue.set_places([("one", 1, True)], 11.0)
    assert assigned(queue, 11.0) == [("a", "one")]
    assert (ticket.held, ticket.queued) == (7.0, 4.0)


def test_a_second_wait_adds_to_the_first() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    ticket = queue.submit("a", 0.0, WANT).ticket
    assert ticket is not None
    queue.set_places([("one", 1, True)], 2.0)
    ((_, place),) = queue.assign(2.0)
    queue.release(ticket)
    queue.skip(place, 6.0)
    queue.resubmit(ticket, 5.0)
    assert assigned(queue, 5.9) == []
    assert queue.next_event(5.0) == 6.0
    assert assigned(queue, 6.0) == [("a", "one")]
    assert (ticket.held, ticket.queued) == (2.0, 1.0)


def test_a_failed_request_goes_back_before_younger_ones() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    queue.set_places([("one", 2, True)], 0.0)
    queue.submit("a", 0.0, WANT)
    queue.submit("b", 1.0, WANT)
    tickets = [ticket for ticket, _ in queue.assign(1.0)]
    queue.submit("c", 2.0, WANT)
    for ticket in reversed(tickets):  # the older comes back last
        queue.release(ticket)
        queue.resubmit(ticket, 3.0)
    assert [item for item, _ in assigned(queue, 3.0)] == ["a", "b"]


def test_a_begun_request_goes_first_and_its_patience_begins_anew() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=5)
    queue.set_places([("one", 2, True)], 0.0)
    queue.submit("old", 0.0, WANT)
    queue.submit("older", 0.0, WANT)
    tickets = [ticket for ticket, _ in queue.assign(0.0)]
    queue.set_places([], 3.0)
    queue.submit("new", 3.0, WANT)
    for at, ticket in zip((7.0, 9.0), tickets, strict=True):
        queue.resubmit(ticket, at, deadline_from=at)
    assert queue.next_event(9.0) == 8.0  # "new" came at 3
    assert [ticket.item for ticket in queue.expired(11.9)] == ["new"]
    assert [ticket.item for ticket in queue.expired(12.0)] == ["old"]
    queue.submit("newer", 12.0, WANT)
    queue.set_places([("two", 1, True)], 12.0)
    assert assigned(queue, 12.0) == [("older", "two")]
    queue.release(tickets[1])
    queue.resubmit(tickets[1], 13.0)  # once begun, always before those that have not
    assert queue.next_event(13.0) == 14.0
    assert assigned(queue, 13.0) == [("older", "two")]


def test_a_renewed_replica_owes_nothing_to_the_old_process() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=5)
    queue.set_places([("one", 1, True)], 0.0)
    queue.submit("a", 0.0, WANT)
    ((old, _),) = queue.assign(0.0)
    queue.renew("one", 1.0)
    queue.set_places([("one", 1, True)], 1.0)
    queue.submit("b", 1.0, WANT)
    assert assigned(queue, 1.0) == [("b", "one")]
    queue.release(old)
    assert queue.places["one"].running == 1


def test_an_ejected_replica_is_tried_when_its_time_has_come() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    queue.set_places([("one", 1, True), ("two", 1, True)], 0.0)
    queue.places["one"].health.eject("why", 0.0)
    queue.submit("a", 0.0, WANT)
    queue.submit("b", 0.0, WANT)
    assert assigned(queue, 0.0) == [("a", "two")]
    back = queue.next_event(0.0)
    assert back == queue.places["one"].health.until
    ((probe, place),) = queue.assign(back)
    assert (probe.item, place.id) == ("b", "one")
    queue.submit("c", back, WANT)
    queue.places["one"].room = 2
    assert assigned(queue, back) == []  # one probe at a time
    queue.release(probe)  # its client hung up
    assert assigned(queue, back) == [("c", "one")]


def test_a_full_queue_still_takes_what_can_run_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=0, max_wait=60)
    assert queue.submit("a", 0.0, WANT).refused == "queue"
    queue.set_places([("one", 1, True)], 0.0)
    assert queue.submit("b", 0.0, WANT).ticket is not None
    assert assigned(queue, 0.0) == [("b", "one")]
    assert queue.submit("c", 0.0, WANT).ticket is None


def test_those_who_waited_too_long_are_taken_out() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=5)
    for at, name in enumerate("abc"):
        queue.submit(name, float(at), WANT)
    assert queue.next_event(2.0) == 5.0
    assert [ticket.item for ticket in queue.expired(4.9)] == []
    assert [ticket.item for ticket in queue.expired(6.0)] == ["a", "b"]
    assert queue.waiting == 1


def test_a_replica_that_is_gone_stays_until_it_is_empty() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=5)
    queue.set_places([("one", 1, True)], 0.0)
    queue.submit("a", 0.0, WANT)
    ((ticket, _),) = queue.assign(0.0)
    queue.set_places([], 1.0)
    assert queue.running == 1
    assert not queue.any_ready
    queue.release(ticket)
    assert queue.places == {}


def test_the_least_loaded_ready_replica_is_chosen() -> None:
    some = [
        Place("full", room=1, running=1),
        Place("busy", room=9, running=3),
        Place("draining", room=9, ready=False),
        Place("skipped", room=9, skip_until=10.0),
        Place("free", room=9, running=2),
    ]
    places = {place.id: place for place in some}
    chosen = choose(places, Work(0, 0), now=9.0)
    assert chosen is not None
    assert chosen.place.id == "free"
    later = choose(places, Work(0, 0), now=10.0)
    assert later is not None
    assert later.place.id == "skipped"
    assert choose({}, Work(0, 0), 0.0) is None


def test_only_a_replica_that_joins_others_starts_slowly() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    queue.set_places([("one", 1, True), ("two", 1, True)], 5.0)
    queue.set_places([("one", 1, True), ("two", 1, True), ("three", 1, False)], 6.0)
    queue.set_places([("one", 1, True), ("two", 1, True), ("three", 1, True)], 7.0)
    began = {name: place.ready_at for name, place in queue.places.items()}
    assert began == {"one": -math.inf, "two": -math.inf, "three": 7.0}


def test_what_a_replica_was_sent_counts_as_cached_until_it_is_gone() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60, index=PrefixIndex())
    queue.set_places([("one", 4, True), ("two", 4, True)], 0.0)
    long = WANT._replace(work=Work(9000, 10, (Mark(1, 8000),)))
    other = WANT._replace(work=Work(9000, 10, (Mark(2, 8000),)))
    queue.submit("first", 0.0, long)
    queue.submit("other", 0.0, other)
    assert assigned(queue, 0.0) == [("first", "one"), ("other", "two")]
    for name, want in (("again", long), ("other again", other)):
        ticket = queue.submit(name, 1.0, want).ticket
        assert ticket is not None
        ((_, place),) = queue.assign(1.0)
        assert ticket.choice is not None
        assert (place.id, ticket.choice.cached) == ("one" if want is long else "two", 8000)
        assert ticket.charged == 1000 + 4 * 10  # an answer's token is four of a prompt
    queue.renew("two", 2.0)
    queue.set_places([("two", 4, True)], 2.0)
    ticket = queue.submit("new life", 2.0, other).ticket
    assert assigned(queue, 2.0) == [("new life", "two")]
    assert ticket is not None
    assert ticket.choice is not None
    assert ticket.choice.cached == 0


def test_a_prompt_that_was_read_is_no_load_any_more() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    queue.set_places([("one", 4, True)], 0.0)
    ticket = queue.submit("a", 0.0, WANT._replace(work=Work(9000, 0))).ticket
    assert ticket is not None
    queue.prefilled(ticket)  # too early: it waits
    assert assigned(queue, 0.0) == [("a", "one")]
    assert queue.places["one"].load == 9000
    queue.prefilled(ticket)
    queue.prefilled(ticket)
    assert queue.places["one"].load == 0
    queue.release(ticket)
    assert (queue.places["one"].load, queue.places["one"].running) == (0, 0)


class AnyOrder(RuleBasedStateMachine):
    """Requests and replicas come and go; a list stands in as the model of the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue: WorkQueue[int] = WorkQueue(limit=4, max_wait=50)
        self.waiting: list[Ticket[int]] = []
        self.deadlines: dict[int, float] = {}
        self.begun: set[int] = set()
        self.running: list[tuple[Ticket[int], Place]] = []
        self.count = 0

    @rule(seconds=st.integers(0, 20))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        for ticket in self.queue.expired(self.now):
            self.waiting.remove(ticket)
            assert self.now >= self.deadlines[ticket.item]
        assert all(self.now < self.deadlines[ticket.item] for ticket in self.waiting)
        self.bind()

    @rule()
    def arrive(self) -> None:
        self.count += 1
        ticket = self.queue.submit(self.count, self.now, WANT).ticket
        if ticket is None:
            assert len(self.waiting) >= 4  # one that came back is never turned away
        else:
            self.waiting.append(ticket)
            self.deadlines[self.count] = self.now + 50
        self.bind()

    def bind(self) -> None:
        for ticket, place in self.queue.assign(self.now):
            assert ticket is self.waiting.pop(0)  # begun ones, then by deadline
            assert place.ready
            assert place.running <= place.room
            self.running.append((ticket, place))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 99), fails=st.booleans(), begun=st.booleans())
    def end(self, which: int, fails: bool, begun: bool) -> None:
        ticket, place = self.running.pop(which % len(self.running))
        self.queue.release(ticket)
        if fails:
            self.queue.skip(place, self.now + 1)
            self.queue.resubmit(ticket, self.now, deadline_from=self.now if begun else None)
            if begun:
                self.begun.add(ticket.item)
                self.deadlines[ticket.item] = self.now + 50
            self.waiting.insert(sum(self.rank(o) < self.rank(ticket) for o in self.waiting), ticket)
        self.bind()

    def rank(self, ticket: Ticket[int]) -> tuple[bool, float, int]:
        begun = ticket.item in self.begun
        return (not begun, self.deadlines[ticket.item], ticket.item)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 99))
    def hang_up(self, which: int) -> None:
        ticket = self.waiting.pop(which % len(self.waiting))
        assert self.queue.withdraw(ticket, self.now)
        assert not self.queue.withdraw(ticket, self.now)

    @rule(
        places=st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 2), st.booleans()))
    )
    def replicas_change(self, places: dict[str, tuple[int, bool]]) -> None:
        self.queue.set_places([(name, *value) for name, value in places.items()], self.now)
        self.bind()

    @invariant()
    def counts_agree(self) -> None:
        assert self.queue.waiting == len(self.waiting)
        assert self.queue.running == len(self.running)
        assert self.queue.held + self.queue.queued == len(self.waiting)
        for ticket, _ in self.running:
            assert ticket.held >= 0
            assert ticket.queued >= 0

    @invariant()
    def the_next_deadline_is_known(self) -> None:
        event = self.queue.next_event(self.now)
        assert (event is None) == (not self.waiting)
        if event is not None:
            assert event <= min(self.deadlines[ticket.item] for ticket in self.waiting)

    @invariant()
    def no_one_waits_in_vain(self) -> None:
        """While somebody waits, no ready replica has room that it may use."""
        if self.waiting:
            assert choose(self.queue.places, Work(0, 0), self.now) is None


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
