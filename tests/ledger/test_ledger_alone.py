"""A gateway that has the ledger's file to itself writes a little later, and decides as exactly."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import START, Clock, admitted, granted, refused, subject

from headrace.ledger.books import HELD_BACK
from headrace.ledger.ledger import Grant, Ledger
from headrace.ledger.presence import Presence
from headrace.ledger.report import read_usage
from headrace.routing.allowance import Excess


class Loop:
    """An event loop's `call_later` whose time passes when a test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        assert 0 < seconds <= HELD_BACK
        self.calls.append(call)

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def left(file: Path, now: float = START) -> int:
    """How many requests a minute the file says are left."""
    (used,) = read_usage(file, now)
    assert used.requests is not None
    return used.requests.remaining


def test_what_one_alone_lets_in_is_written_together(tmp_path: Path) -> None:
    file, loop = tmp_path / "usage.db", Loop()
    one = Ledger(str(file), clock=Clock(), later=loop.later)
    key = subject(requests_per_minute=60)
    granted(one.admit([key], 0, None))  # reads the file, so it writes as well
    assert left(file) == 59
    assert admitted(one, key, times=20) == 20
    assert left(file) == 59
    assert len(loop.calls) == 1
    loop.run()
    assert left(file) == 39
    assert admitted(one, key, times=60) == 39
    one.close()
    assert left(file) == 0


def test_who_comes_is_told_everything_from_then_on(tmp_path: Path) -> None:
    file, clock, loop = tmp_path / "usage.db", Clock(), Loop()
    one = Ledger(str(file), clock=clock, later=loop.later)
    key = subject(requests_per_minute=60, concurrency=50)
    assert admitted(one, key, times=10) == 10
    two = Ledger(str(file), clock=clock, later=loop.later)
    two.tick()
    assert admitted(one, key, times=10) == 10  # writes what it had kept to itself
    assert admitted(two, key, times=10) == 10
    assert admitted(one, key, times=10) == 10
    assert admitted(two, key, times=50) == 10  # 50 at once, together
    two.close()
    clock.now += 60  # a minute's worth again
    assert admitted(one, subject(requests_per_minute=60), times=10) == 10
    assert left(file, clock.now) == 59  # the first read the file; the others are kept back again
    one.close()


def test_places_are_written_later_where_nobody_waits_for_them(tmp_path: Path) -> None:
    file, loop = tmp_path / "usage.db", Loop()
    one = Ledger(str(file), clock=Clock(), later=loop.later)
    key = subject(concurrency=2)
    first, second = (granted(one.admit([key], 0, None)) for _ in range(2))
    loop.run()
    first.settle(0, 0)
    second.settle(0, 0)
    assert read_usage(file, START)[0].running == 2
    loop.run()
    assert read_usage(file, START)[0].running == 0
    one.close()


def test_what_somebody_used_who_just_left_is_read(tmp_path: Path) -> None:
    file, loop = tmp_path / "usage.db", Loop()
    key = subject(requests_per_minute=60)
    one, two = (Ledger(str(file), clock=Clock(), later=loop.later) for _ in range(2))
    two.tick()
    assert admitted(one, key, times=10) == 10
    assert admitted(two, key, times=50) == 50
    two.close()
    refused(one.admit([key], 0, None))
    one.close()


def test_what_somebody_used_who_came_and_went_is_read(tmp_path: Path) -> None:
    file, clock, loop = tmp_path / "usage.db", Clock(), Loop()
    key = subject(requests_per_minute=60)
    one = Ledger(str(file), clock=clock, later=loop.later)
    assert admitted(one, key, times=10) == 10
    loop.run()
    two = Ledger(str(file), clock=clock)
    assert admitted(two, key, times=50) == 50
    two.close()
    clock.now += 2 * HELD_BACK  # in which a fifth of a request flows back
    assert refused(one.admit([key], 0, None)).what == "requests per minute"
    one.close()


def shown(found: Grant | Excess) -> object:
    return (found.requests, found.tokens) if isinstance(found, Grant) else found


def test_what_ends_after_the_close_counts_no_more(tmp_path: Path) -> None:
    file, loop = tmp_path / "usage.db", Loop()
    one = Ledger(str(file), clock=Clock(), later=loop.later)
    key = subject(requests_per_minute=60, tokens_per_minute=600)
    grants = [granted(one.admit([key], 10, None)) for _ in range(2)]
    one.close()
    loop.run()  # what was planned before
    grants.pop().settle(10, 500)
    assert loop.calls == []
    (used,) = read_usage(file, START)
    assert used.tokens is not None
    assert used.tokens.remaining == 600 - 20


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "end", "wait", "run", "tick"]), st.integers(0, 20)),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_alone_with_a_file_it_decides_as_without(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    clock, loop = Clock(), Loop()
    file = str(tmp_path_factory.mktemp("ledger") / "usage.db")
    filed, single = Ledger(file, clock=clock, later=loop.later), Ledger(clock=clock)
    key = subject(requests_per_minute=30, tokens_per_minute=300, concurrency=8)
    running: list[tuple[Grant, Grant]] = []
    for what, number in steps:
        if what == "wait":
            clock.now += number / 50
        elif what == "run":
            loop.run()
        elif what == "tick":
            filed.tick()
        elif what == "end" and running:
            for grant in running.pop(number % len(running)):
                grant.settle(number, 2 * number)
        elif what == "ask":
            here, there = (ledger.admit([key], number, None) for ledger in (filed, single))
            assert shown(here) == shown(there)
            if isinstance(here, Grant) and isinstance(there, Grant):
                running.append((here, there))
    for grant in chain.from_iterable(running):
        grant.settle(0, 0)
    filed.close()
    again = Ledger(file, clock=clock)  # and the next one knows all of it
    assert admitted(again, key, times=40, prompt=7) == admitted(single, key, times=40, prompt=7)
    again.close()


def test_presence_is_of_open_files_and_ends_with_them(tmp_path: Path) -> None:
    one = Presence(tmp_path / "usage.db")
    assert one.alone
    two = Presence(tmp_path / "usage.db")
    assert not one.alone
    assert not two.alone
    two.close()
    assert one.alone
    assert not two.alone  # it is not there, so it knows nothing
    one.close()


def test_where_there_are_no_such_locks_nobody_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert not Presence(tmp_path / "usage.db").alone
    assert not Presence(tmp_path / "absent" / "usage.db").alone
    one = Ledger(str(tmp_path / "usage.db"), clock=Clock(), later=Loop().later)
    key = subject(requests_per_minute=60)
    assert admitted(one, key, times=20) == 20
    assert left(tmp_path / "usage.db") == 40  # each was written at once
    one.close()
