"""How long waits are expected to be, and what a refused client is told."""

from __future__ import annotations

import pytest

from headrace.routing.pace import Pace, Rate, expected_wait, hopeless, retry_after
from headrace.routing.queue import WorkQueue
from headrace.routing.route import Priority
from headrace.routing.ticket import Want
from headrace.routing.work import Work


def busy_pace(*finished: tuple[float, float], since: float = 0.0) -> Pace:
    pace = Pace()
    pace.waits(since, something=True)
    for at, work in finished:
        pace.finished(at, work)
    return pace


def test_the_rate_of_the_last_requests() -> None:
    pace = busy_pace((0.0, 50))
    assert pace.rate(9.0) is None
    for second in range(1, 5):
        pace.finished(float(second), 100)
    assert pace.rate(4.0) == Rate(work=100, requests=1)  # 4 more requests in 4 seconds
    assert pace.rate(8.0) == Rate(work=50, requests=0.5)  # and none since
    for _ in range(100):
        pace.finished(10.0, 100)
    assert pace.rate(10.0) is None  # all at one moment: no pace to speak of


def test_time_in_which_nothing_waits_does_not_count() -> None:
    pace = busy_pace((0.0, 10), (1.0, 10))
    pace.waits(1.0, something=False)
    pace.finished(50.0, 10)  # alone: it says nothing
    pace.waits(101.0, something=True)
    pace.finished(102.0, 10)
    assert pace.rate(102.0) == Rate(work=10, requests=1)  # 2 in 2 busy seconds


def test_an_old_pace_is_forgotten() -> None:
    pace = busy_pace((0.0, 10), (1.0, 10))
    pace.waits(1.0, something=False)
    pace.waits(301.5, something=True)
    assert pace.rate(302.0) is None
    pace = busy_pace((0.0, 10), (1.0, 10))
    pace.forget()
    assert pace.rate(2.0) is None


RATE = Rate(work=100, requests=2)


@pytest.mark.parametrize(
    ("ahead", "rate", "until_ready", "seconds"),
    [
        (0, None, None, None),
        (1000, None, None, None),
        (0, RATE, None, 0.5),  # the next of 2 a second to end makes room
        (1000, RATE, None, 10.5),
        (1000, RATE, 20.0, 30.0),
        (1000, None, 20.0, 20.0),
    ],
)
def test_expected_waits(
    ahead: float, rate: Rate | None, until_ready: float | None, seconds: float | None
) -> None:
    assert expected_wait(ahead, rate, until_ready) == seconds


@pytest.mark.parametrize(
    ("wait", "seconds"), [(None, 5), (0.0, 1), (0.2, 1), (17.2, 18), (20.0, 20), (5000.0, 120)]
)
def test_when_to_come_back(wait: float | None, seconds: int) -> None:
    assert retry_after(wait) == seconds


@pytest.mark.parametrize(
    ("wait", "max_wait", "refuse"),
    [
        (None, 1.0, False),
        (19.9, 10.0, False),
        (20.1, 10.0, True),
        (0.9, 0.1, False),  # a second more or less is nobody's estimate
        (1.2, 0.1, True),
    ],
)
def test_only_what_has_clearly_no_chance_is_refused_early(
    wait: float | None, max_wait: float, refuse: bool
) -> None:
    assert hopeless(wait, max_wait) is refuse


def want(flow: str, cost: int = 100, priority: Priority = "normal") -> Want:
    return Want("route", flow, priority, Work(cost, 0))


def queue_at_work() -> WorkQueue[str]:
    """Return a full queue that finishes 100 tokens of work, and one request, in a second."""
    queue: WorkQueue[str] = WorkQueue(limit=1000, max_wait=60)
    queue.set_places([("one", 1, True)], 0.0)
    for _ in range(2):
        queue.submit("first", 0.0, want("first"))
    running = [ticket for ticket, _ in queue.assign(0.0)]
    for second in range(1, 4):
        ticket = running.pop(0)
        queue.settle(ticket, Work(100, 0), float(second))
        queue.release(ticket)
        queue.submit("first", float(second), want("first"))
        running += [ticket for ticket, _ in queue.assign(float(second))]
    assert queue.waiting == 1
    (last,) = queue.tickets()
    queue.withdraw(last, 3.0)
    return queue


def test_a_wait_is_nothing_while_there_is_room() -> None:
    queue: WorkQueue[str] = WorkQueue(limit=10, max_wait=60)
    assert queue.expected_wait(want("a"), 0.0) is None
    assert queue.expected_wait(want("a"), 0.0, until_ready=7.0) == 7.0
    queue.set_places([("one", 1, True)], 0.0)
    assert queue.expected_wait(want("a"), 0.0) == 0.0
    queue.submit("a", 0.0, want("a"))
    list(queue.assign(0.0))
    assert queue.expected_wait(want("a"), 0.0) is None  # full, and nobody knows how fast it is


def test_a_queue_measures_its_pace_only_while_something_waits() -> None:
    queue = queue_at_work()
    assert queue.pace.rate(3.0) == Rate(work=100, requests=1)
    assert queue.pace.rate(1000.0) == Rate(work=100, requests=1)
    queue.submit("first", 200.0, want("first"))
    list(queue.assign(200.0))
    assert queue.pace.rate(204.0) == Rate(work=200 / 6, requests=2 / 6)  # 2 in 2 and 4 busy seconds
    queue.set_places([("one", 1, True), ("two", 1, True)], 204.0)
    assert queue.pace.rate(204.0) is None  # there are more replicas now


def test_a_flood_waits_for_itself_and_others_hardly() -> None:
    queue = queue_at_work()
    tickets = [queue.submit("flood", 3.0, want("flood")).ticket for _ in range(10)]
    # The next place is free in a second; then 10 requests of a second each, one of them first.
    assert queue.expected_wait(want("flood"), 3.0) == pytest.approx(11.0)
    assert queue.expected_wait(want("new"), 3.0) == pytest.approx(2.0)
    assert queue.expected_wait(want("flood"), 3.0, ticket=tickets[4]) == pytest.approx(5.0)


def test_the_wait_of_a_priority_goes_by_the_shares() -> None:
    queue = queue_at_work()
    for _ in range(40):
        queue.submit("high", 3.0, want("a", priority="high"))
        queue.submit("normal", 3.0, want("b"))
    served = [_next(queue) for _ in range(10)]
    assert served.count("high") in {8, 9}
    # About 32 and 38 wait. While 32 of high are served, 8 of normal are; a newcomer of low
    # begins level with whoever is next.
    high, low = want("a", priority="high"), want("c", priority="low")
    assert queue.expected_wait(high, 3.0) == pytest.approx(1 + 32 + 8, abs=2)
    assert queue.expected_wait(low, 3.0) == pytest.approx(1, abs=2)
    # Behind 3 of its own the share of high is 48, which is all that wait, and that of normal 12.
    for _ in range(3):
        queue.submit("low", 3.0, low)
    assert queue.expected_wait(low, 3.0) == pytest.approx(1 + 3 + 32 + 12, abs=3)


def _next(queue: WorkQueue[str]) -> str:
    """Let the replica have room for one more request."""
    queue.places["one"].room += 1
    ((ticket, _),) = queue.assign(3.0)
    return ticket.item
