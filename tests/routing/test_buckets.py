"""Buckets against exact arithmetic, and against the bound that they promise."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.buckets import JITTER, Bucket

START = 1_800_000_000.0
LIMITS = st.integers(1, 10**6)
STEPS = st.lists(
    st.tuples(st.floats(0, 90, allow_nan=False), st.integers(0, 10**6)), min_size=1, max_size=40
)


def exact(limit: int, events: list[tuple[float, float]], now: float) -> Fraction:
    """What is used at `now`, by going through all that ever happened in fractions."""
    used, last = Fraction(0), Fraction(START)
    for at, amount in [*events, (now, 0)]:
        used = max(Fraction(0), used - (Fraction(at) - last) * limit / 60) + Fraction(amount)
        used, last = max(Fraction(0), used), Fraction(at)
    return used


def within(limit: int) -> float:
    """What a microsecond lets flow; a time of day in a double is no finer."""
    return limit / 60 * 2e-6 + 1e-6


def take(bucket: Bucket, limit: int, amount: int, now: float) -> tuple[Bucket, bool]:
    if bucket.wait(limit, amount, now):
        return bucket, False
    return bucket.charged(limit, amount, now), True


@given(limit=LIMITS, steps=STEPS)
def test_it_is_what_exact_arithmetic_says(limit: int, steps: list[tuple[float, int]]) -> None:
    bucket, now = Bucket(), START
    events: list[tuple[float, float]] = []
    for pause, amount in steps:
        now += pause
        bucket = bucket.charged(limit, amount, now)
        events.append((now, amount))
        assert bucket.used == pytest.approx(
            float(exact(limit, events, now)), rel=1e-9, abs=len(events) * within(limit)
        )


@given(limit=LIMITS, steps=STEPS)
def test_no_window_lets_in_more_than_a_minutes_worth_and_the_rate(
    limit: int, steps: list[tuple[float, int]]
) -> None:
    bucket, now = Bucket(), START
    let_in: list[tuple[float, int]] = []
    for pause, amount in steps:
        now += pause
        bucket, taken = take(bucket, limit, min(amount, limit), now)
        if taken:
            let_in.append((now, min(amount, limit)))
    for first, (begin, _) in enumerate(let_in):
        total = 0
        for end, amount in let_in[first:]:
            total += amount
            assert total <= limit * (1 + (end - begin) / 60) + len(let_in) * within(limit)


@given(limit=LIMITS, used=st.floats(0, 3), share=st.floats(0, 1))
def test_a_wait_is_exact(limit: int, used: float, share: float) -> None:
    amount = int(limit * share)
    bucket = Bucket(used * limit, START)
    wait = bucket.wait(limit, amount, START)
    assert bucket.wait(limit, amount, START + wait + 1e-6) == 0.0
    if wait > 0.01:
        assert bucket.wait(limit, amount, START + wait - 0.01) > 0.0


def test_by_hand() -> None:
    """60 a minute is one a second: after 60 at once the next waits 1 s, ten more wait 10 s."""
    bucket = Bucket()
    for _ in range(60):
        bucket, taken = take(bucket, 60, 1, START)
        assert taken
    assert bucket.wait(60, 1, START) == pytest.approx(1.0)
    assert bucket.wait(60, 10, START) == pytest.approx(10.0)
    assert bucket.left(60, START) == (0, pytest.approx(60.0))
    assert bucket.left(60, START + 2.5) == (2, pytest.approx(57.5))


def test_debt_is_waited_for() -> None:
    """1000 a minute; 400 at the start and 2600 when the answer ends: 2000 too many, 120 s."""
    bucket = Bucket().charged(1000, 400, START).charged(1000, 2600, START)
    assert bucket.wait(1000, 0, START) == pytest.approx(120.0)
    assert bucket.wait(1000, 500, START) == pytest.approx(150.0)
    assert bucket.wait(1000, 500, START + 150.001) == 0.0
    assert bucket.left(1000, START)[0] == 0


def test_what_flowed_back_is_not_given_back_again() -> None:
    bucket = Bucket().charged(60, 30, START)
    assert bucket.charged(60, -30, START + 20).used == 0.0


def test_a_raised_limit_counts_at_once() -> None:
    bucket = Bucket(60.0, START)
    assert bucket.wait(60, 1, START) > 0
    assert bucket.wait(600, 1, START) == 0.0
    assert bucket.left(600, START)[0] == 540


def test_a_clock_that_is_set_back_gives_and_takes_nothing() -> None:
    bucket = Bucket(60.0, START)
    assert not bucket.ahead(START - JITTER)
    back = START - 3600
    assert bucket.ahead(back)
    mended = bucket.charged(60, 0, back)
    assert mended == Bucket(60.0, back)
    assert mended.wait(60, 1, back + 1.001) == 0.0


def test_times_out_of_order_let_nothing_flow_twice() -> None:
    """Two processes read the clock, and enter in the other order."""
    one = Bucket(60.0, START).charged(60, 0, START + 2).charged(60, 0, START + 1)
    assert one.charged(60, 0, START + 3).used == pytest.approx(57.0)
