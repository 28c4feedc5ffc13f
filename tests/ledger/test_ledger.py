"""The ledger of one gateway and of several: what is let in, kept, given back and noted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import START, Clock, admitted, granted, refused, subject

from headrace.ledger.books import SWEEP_EVERY
from headrace.ledger.ledger import Grant, Ledger
from headrace.ledger.report import read_usage
from headrace.routing.allowance import Excess, Subject


@pytest.fixture(params=["file", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return str(tmp_path / "usage.db") if request.param == "file" else None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


def test_a_minutes_worth_and_then_the_rate(path: str | None) -> None:
    clock = Clock()
    ledger = Ledger(path, clock=clock)
    key = subject(requests_per_minute=60)
    assert admitted(ledger, key, times=100) == 60
    found = refused(ledger.admit([key], 0, None))
    assert (found.subject, found.what, found.limit) == ("key a", "requests per minute", 60)
    assert found.retry_after == pytest.approx(1.0)
    clock.now += 10.0
    assert admitted(ledger, key, times=100) == 10
    ledger.close()


def test_answers_are_charged_when_they_end_and_lead_into_debt(path: str | None) -> None:
    clock = Clock()
    ledger = Ledger(path, clock=clock)
    key = subject(tokens_per_minute=600)
    first = granted(ledger.admit([key], 100, None))
    first.settle(120, 1080)  # 1200 tokens: twice the limit
    assert refused(ledger.admit([key], 0, None)).retry_after == pytest.approx(60.0)
    assert refused(ledger.admit([key], 50, None)).retry_after == pytest.approx(65.0)
    clock.now += 65.0001
    granted(ledger.admit([key], 50, None))
    ledger.close()


def test_an_estimate_that_was_too_high_is_given_back_once(path: str | None) -> None:
    ledger = Ledger(path, clock=Clock())
    key = subject(tokens_per_minute=600)
    found = granted(ledger.admit([key], 600, None))
    refused(ledger.admit([key], 1, None))
    found.settle(0, 0)  # no engine had it
    found.settle(0, 0)
    again = granted(ledger.admit([key], 600, None))
    assert again.tokens is not None
    assert again.tokens.remaining == 0
    refused(ledger.admit([key], 1, None))
    ledger.close()


def test_places_are_free_when_requests_end(path: str | None) -> None:
    ledger = Ledger(path, clock=Clock())
    key = subject(concurrency=2)
    one, _two = (granted(ledger.admit([key], 0, None)) for _ in range(2))
    assert refused(ledger.admit([key], 0, None)).what == "requests at once"
    one.settle(0, 0)
    one.settle(0, 0)  # only once
    assert admitted(ledger, key, times=3) == 1
    ledger.close()


def test_all_subjects_are_charged_or_none(path: str | None) -> None:
    ledger = Ledger(path, clock=Clock())
    key, route = subject("key a", requests_per_minute=10), subject("route r", requests_per_minute=3)
    assert admitted(ledger, key, route, times=9) == 3
    assert admitted(ledger, key, times=20) == 7
    ledger.close()


def test_of_several_refusals_the_longest_is_told() -> None:
    ledger = Ledger(clock=Clock())
    slow, fast = subject("slow", requests_per_minute=1), subject("fast", requests_per_minute=60)
    granted(ledger.admit([slow], 0, None))
    assert admitted(ledger, fast, times=60) == 60
    assert refused(ledger.admit([fast, slow], 0, None)).subject == "slow"
    never = subject("never", max_prompt=5)
    assert refused(ledger.admit([fast, never, slow], 6, None)).permanent


def test_what_is_only_counted_is_noted_as_often_as_it_would_be_refused(path: str | None) -> None:
    clock = Clock()
    ledger = Ledger(path, clock=clock)
    tried, real = subject("tried", requests_per_minute=60, enforce=False), subject("real")
    notes = []
    for _ in range(100):
        notes += granted(ledger.admit([tried, real], 0, None)).noted
    assert len(notes) == 40
    assert notes[0].note == "tried: requests per minute 60 exceeded (count only)"
    clock.now += 30.0
    later = [granted(ledger.admit([tried], 0, None)).noted for _ in range(40)]
    assert sum(map(bool, later)) == 10  # 30 flowed back: the 40 beyond are no debt
    ledger.close()


def test_a_missing_bound_on_the_answer_is_set() -> None:
    ledger = Ledger()
    both = [subject("a", max_output=100), subject("b", max_output=50)]
    assert granted(ledger.admit(both, 0, None)).output_bound == 50
    assert granted(ledger.admit(both, 0, 50)).output_bound is None
    assert refused(ledger.admit(both, 0, 51)).what == "tokens of an answer"
    counted = [subject("a", max_output=100, enforce=False)]
    assert granted(ledger.admit(counted, 0, None)).output_bound is None
    assert len(granted(ledger.admit(counted, 0, 101)).noted) == 1


def test_what_is_left_is_told() -> None:
    ledger = Ledger(clock=Clock())
    found = granted(ledger.admit([subject(requests_per_minute=60, tokens_per_minute=600)], 60, 9))
    assert found.requests == (60, 59, pytest.approx(1.0))
    assert found.tokens == (600, 540, pytest.approx(6.0))


def test_two_gateways_share(file: Path) -> None:
    clock = Clock()
    one, two = (Ledger(str(file), clock=clock) for _ in range(2))
    key = subject(requests_per_minute=60, concurrency=50)
    assert admitted(one, key, times=30) == 30
    assert admitted(two, key, times=30) == 20
    one.close()  # gives its places back, and nothing else
    assert admitted(two, key, times=30) == 10
    two.close()


def test_what_ends_after_the_end_changes_nothing(file: Path) -> None:
    first, key = Ledger(str(file), clock=Clock()), subject(concurrency=2)
    late = granted(first.admit([key], 0, None))
    first.close()
    late.settle(1, 1)
    second = Ledger(str(file), clock=Clock())
    assert admitted(second, key, times=5) == 2
    second.close()


def test_a_restart_keeps_what_was_used(file: Path) -> None:
    clock = Clock()
    first = Ledger(str(file), clock=clock)
    key = subject(tokens_per_minute=600)
    granted(first.admit([key], 100, None)).settle(100, 900)
    first.close()
    clock.now += 20.0
    second = Ledger(str(file), clock=clock)
    assert refused(second.admit([key], 0, None)).retry_after == pytest.approx(20.0)
    second.close()


def test_without_limits_the_file_is_not_touched(file: Path) -> None:
    ledger = Ledger(str(file), clock=Clock())
    for bare in ([Subject("key a")], [subject(max_prompt=10, max_output=10)]):
        granted(ledger.admit(bare, 5, 5)).settle(5, 5)
    assert not file.exists()
    ledger.tick()
    assert [(u.subject, u.today.requests) for u in read_usage(file, START)] == [("key a", 2)]
    ledger.close()


def test_the_clock_may_be_set_back(path: str | None) -> None:
    clock = Clock()
    ledger = Ledger(path, clock=clock)
    key = subject(requests_per_minute=60)
    assert admitted(ledger, key, times=60) == 60
    clock.now -= 3600.0
    assert refused(ledger.admit([key], 0, None)).retry_after == pytest.approx(1.0)
    clock.now += 5.0
    assert admitted(ledger, key, times=60) == 5
    ledger.close()


def test_token_counts_are_written_together_and_places_at_once(file: Path) -> None:
    clock = Clock()
    waiting: list[object] = []
    one = Ledger(str(file), clock=clock, later=lambda _, call: waiting.append(call))
    two = Ledger(str(file), clock=clock)
    two.tick()  # it is there: both must know what the other lets in
    key = subject(tokens_per_minute=600, concurrency=3)
    grants = [granted(one.admit([key], 0, None)) for _ in range(3)]
    for grant in grants:
        grant.settle(0, 300)
    assert len(waiting) == 1
    granted(two.admit([key], 0, None)).settle(0, 0)  # there is a place, and no tokens yet
    waiting.pop()()  # type: ignore[operator]  # it is what `later` was given
    assert refused(two.admit([key], 0, None)).retry_after == pytest.approx(30.0)
    one.close()
    two.close()


def test_places_are_written_with_the_token_counts_while_most_are_free(file: Path) -> None:
    waiting: list[object] = []
    one = Ledger(str(file), clock=Clock(), later=lambda _, call: waiting.append(call))
    two = Ledger(str(file), clock=Clock())
    two.tick()  # it is there
    key = subject(concurrency=10)
    for grant in [granted(one.admit([key], 0, None)) for _ in range(4)]:
        grant.settle(0, 0)
    assert admitted(two, key, times=8) == 6  # the other's 4 are not written back yet
    waiting.pop()()  # type: ignore[operator]  # it is what `later` was given
    assert admitted(two, key, times=8) == 4  # and now they are
    one.close()
    two.close()


def test_absurd_counts_of_an_engine_do_no_harm(file: Path) -> None:
    ledger = Ledger(str(file), clock=Clock())
    key = subject(tokens_per_minute=600)
    granted(ledger.admit([key], 10, None)).settle(-(10**30), 10**30)
    refused(ledger.admit([key], 0, None))
    ledger.tick()
    assert not ledger.broken
    ledger.close()


def test_old_subjects_and_days_are_forgotten(file: Path) -> None:
    clock = Clock()
    ledger = Ledger(str(file), clock=clock)
    granted(ledger.admit([subject("key old", requests_per_minute=6)], 0, None)).settle(1, 1)
    ledger.tick()
    assert len(read_usage(file, clock.now)) == 1
    clock.now += 32 * 86400
    ledger.tick()
    assert read_usage(file, clock.now) == []
    assert read_usage(file, START) == []
    ledger.close()


def test_memory_is_given_back_too() -> None:
    clock = Clock()
    ledger = Ledger(clock=clock)
    for number in range(100):
        granted(ledger.admit([subject(f"key {number}", requests_per_minute=6)], 0, None))
    clock.now += 3 * 86400
    ledger.tick()
    clock.now += SWEEP_EVERY
    assert not ledger._books._accounts


SUBJECTS = [
    subject("a", requests_per_minute=5, tokens_per_minute=100),
    subject("b", tokens_per_minute=50, concurrency=3),
    subject("c", requests_per_minute=3, enforce=False),
]
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 30), st.none()),
        st.tuples(
            st.just("ask"), st.integers(0, 60), st.sets(st.sampled_from([0, 1, 2]), min_size=1)
        ),
        st.tuples(st.just("end"), st.integers(0, 60), st.none()),
    ),
    max_size=40,
)


@given(moves=MOVES, data=st.data())
@settings(max_examples=40, deadline=None)
def test_two_gateways_with_a_file_decide_as_one_without(
    tmp_path_factory: pytest.TempPathFactory,
    moves: list[tuple[str, int, set[int]]],
    data: st.DataObject,
) -> None:
    clock = Clock()
    file = str(tmp_path_factory.mktemp("ledger") / "usage.db")
    pair = [Ledger(file, clock=clock, patience=60.0) for _ in range(2)]
    single = Ledger(clock=clock)
    running: list[tuple[Grant, Grant]] = []
    for what, number, whose in moves:
        if what == "wait":
            clock.now += number / 2
        elif what == "end" and running:
            for grant in running.pop(number % len(running)):
                grant.settle(number // 2, number)
        elif what == "ask":
            mine = [SUBJECTS[index] for index in sorted(whose)]
            here = data.draw(st.sampled_from(pair)).admit(mine, number, None)
            there = single.admit(mine, number, None)
            if isinstance(here, Grant) and isinstance(there, Grant):
                assert here.noted == there.noted
                assert (here.requests, here.tokens) == (there.requests, there.tokens)
                running.append((here, there))
            else:
                assert isinstance(here, Excess)
                assert here == there
    for ledger in pair:
        ledger.close()
