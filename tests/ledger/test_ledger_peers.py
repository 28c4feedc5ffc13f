"""Gateways that share no file: what each lets in counts at the others as soon as they hear of it."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from ledger_kit import Clock, admitted, granted, refused, subject

from headrace.ledger.ledger import Ledger
from headrace.ledger.peers import SILENT, Spending


def told(ledger: Ledger) -> Spending:
    """What a gateway tells, as it comes over the wire."""
    return msgspec.json.decode(msgspec.json.encode(ledger.spending()), type=Spending)


def exchange(*ledgers: Ledger) -> None:
    """Let all hear what the others have to tell now."""
    pages = {ledger: told(ledger) for ledger in ledgers}
    for one, other in permutations(ledgers, 2):
        one.hear(pages[other])


def gateways(clock: Clock, number: int = 2) -> list[Ledger]:
    """Gateways that have heard of each other."""
    made = [Ledger(clock=clock) for _ in range(number)]
    exchange(*made)
    return made


def test_what_others_let_in_counts_here() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(requests_per_minute=10)
    assert admitted(a, one, times=6) == 6
    exchange(a, b)
    assert admitted(b, one, times=10) == 4
    exchange(a, b)
    assert refused(a.admit([one], 0, None)).retry_after == 6.0  # a tenth of a minute
    clock.now += 6.0
    assert admitted(a, one, times=2) == 1


def test_the_tokens_of_an_answer_count_at_the_others_when_it_ends() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(tokens_per_minute=1000)
    grant = granted(a.admit([one], 100, None))
    exchange(a, b)
    grant.settle(80, 620)  # the prompt was shorter than it looked
    exchange(a, b)
    assert granted(b.admit([one], 300, None))
    exchange(a, b)
    assert refused(a.admit([one], 1, None)).retry_after == 0.06


def test_requests_at_once_are_those_of_all_gateways_until_one_falls_silent() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(concurrency=3)
    grants = [granted(a.admit([one], 0, None)) for _ in range(2)]
    exchange(a, b)
    assert admitted(b, one, times=3) == 1
    grants[0].settle(1, 1)
    exchange(a, b)
    assert admitted(b, one, times=3) == 1
    clock.now += 5.5  # a died, with one request in it
    b.tick()
    assert admitted(b, one, times=3) == 1


def test_a_message_that_is_lost_or_heard_twice_changes_nothing() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(requests_per_minute=100)
    admitted(a, one, times=10)
    told(a)  # lost
    admitted(a, one, times=10)
    page = told(a)
    b.hear(page)
    b.hear(page)
    assert admitted(b, one, times=100) == 80


def test_a_gateway_that_begins_anew_learns_what_was_used_and_forgets_nothing_of_its_own() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one, two = subject("key a", requests_per_minute=60), subject("key b", requests_per_minute=60)
    admitted(a, one, times=25)
    exchange(a, b)
    admitted(b, one, times=25)
    exchange(a, b)
    anew = Ledger(clock=clock)
    admitted(anew, two, times=5)
    clock.now += 2.0  # two of 60 flow back
    exchange(a, anew)
    assert admitted(anew, one, times=60) == 12
    exchange(a, b, anew)
    exchange(a, b, anew)
    assert admitted(b, one, times=60) == 0
    assert admitted(anew, two, times=60) == 57


def test_a_gateway_with_a_file_takes_the_larger_of_what_it_knows_and_hears(tmp_path: Path) -> None:
    clock = Clock()
    one = subject("key a", requests_per_minute=60)
    two = subject("key b", tokens_per_minute=1000)
    before = Ledger(str(tmp_path / "usage.db"), clock=clock)
    admitted(before, one, times=20)
    admitted(before, two, times=1, prompt=300)
    before.close()
    other = Ledger(clock=clock)
    admitted(other, one, times=30)
    admitted(other, two, times=1, prompt=400)
    again = Ledger(str(tmp_path / "usage.db"), clock=clock)
    again.hear(told(other))
    assert admitted(again, one, times=60) == 30  # 60 - max(20, 30)
    assert admitted(again, two, times=60, prompt=10) == 60  # 1000 - max(300, 400)
    again.close()
    assert again.missed == 0
    after = Ledger(str(tmp_path / "usage.db"), clock=clock)
    assert admitted(after, one, times=60) == 0  # what was heard is in the file


def test_use_that_flowed_back_long_ago_is_not_charged_when_a_subject_comes_again() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(requests_per_minute=60)
    for _ in range(3):
        assert admitted(a, one, times=60) == 60
        exchange(a, b)
        for _ in range(30):
            clock.now += 2.0
            exchange(a, b)
    assert "key a" not in told(a).rows
    assert admitted(a, one, times=1) == 1
    exchange(a, b)
    assert admitted(b, one, times=100) == 59


def test_sums_that_began_anew_between_two_messages_are_charged_whole() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(requests_per_minute=600)
    admitted(a, one, times=10)
    exchange(a, b)
    clock.now += 2.0  # all of it has flowed back
    assert told(a).rows == {}  # lost
    admitted(a, one, times=3)
    exchange(a, b)
    assert admitted(b, one, times=1000) == 597


def test_use_during_a_long_silence_is_not_charged_as_if_it_were_now() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(requests_per_minute=60)
    for _ in range(10):
        admitted(a, one, times=30)
        clock.now += 30.0
    exchange(a, b)
    assert admitted(b, one, times=100) == 60


def test_after_a_silence_the_larger_use_counts_and_not_the_sum() -> None:
    clock = Clock()
    a, b = gateways(clock)
    one = subject(requests_per_minute=600)
    admitted(a, one, times=100)
    exchange(a, b)
    clock.now += 4.0  # 40 flow back; it may all have been long ago
    admitted(a, one, times=100)
    clock.now += 1.5
    admitted(b, one, times=50)  # b knows of 95, a of 145
    exchange(a, b)
    assert admitted(b, one, times=600) == 600 - 145


def test_its_own_message_changes_nothing() -> None:
    a = Ledger(clock=Clock())
    one = subject(requests_per_minute=10, concurrency=10)
    assert admitted(a, one, times=4) == 4
    a.hear(told(a))
    assert admitted(a, one, times=10) == 6


@given(
    st.integers(2, 4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.floats(0.0, 4.0)), max_size=60),
)
def test_what_all_know_counts_as_in_one_ledger(
    number: int, steps: list[tuple[int, int, float]]
) -> None:
    clock = Clock()
    one = subject(requests_per_minute=30)
    made, single = gateways(clock, number), Ledger(clock=clock)
    for who, times, pause in steps:
        assert admitted(made[who % number], one, times=times) == admitted(single, one, times=times)
        exchange(*made)
        clock.now += pause


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 40), st.booleans(), st.floats(0.0, 4.0)),
        max_size=60,
    )
)
def test_together_they_exceed_a_limit_by_no_more_than_came_between_two_messages(
    steps: list[tuple[int, int, bool, float]],
) -> None:
    """The last to let in knew of all but what the others let in since their last messages."""
    clock, limit = Clock(), 30
    one = subject(requests_per_minute=limit)
    made = gateways(clock, 3)
    began, total, excess = clock.now, 0, 0
    since, heard_at = [0, 0, 0], clock.now
    for who, times, heard, pause in steps:
        found = admitted(made[who], one, times=times)
        total += found
        since[who] += found
        if found:
            excess = max(excess, sum(since) - since[who])
        assert total <= limit * (1 + (clock.now - began) / 60) + excess + 1e-6
        if heard or clock.now + pause - heard_at > SILENT:
            since, heard_at = [0, 0, 0], clock.now
            exchange(*made)
        clock.now += pause


def test_where_nobody_asks_sums_do_not_pile_up() -> None:
    clock = Clock()
    ledger = Ledger(clock=clock)
    for number in range(50):
        admitted(ledger, subject(f"key {number}", requests_per_minute=10), times=1)
    clock.now += 3600.0
    ledger.tick()
    assert ledger._books._tally._rows == {}
