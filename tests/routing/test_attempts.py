"""When a failed request is tried again: bounded, jittered, and no third replica for poison."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.attempts import LONGEST_PAUSE, MOST, Attempts, Fate

fates = st.sampled_from(["refused", "aborted", "failed", "broke", "silent", "moved"])
steps = st.lists(st.tuples(fates, st.integers(0, 100), st.floats(0, 0.999)), max_size=60)


def run(*fates: tuple[Fate, int]) -> list[str]:
    state, whys = Attempts(), []
    for fate, tokens in fates:
        state, verdict = state.began().ended(fate, tokens, 0.5)
        whys.append(verdict.why)
    return whys


def test_a_request_that_breaks_two_replicas_early_is_stopped() -> None:
    assert run(("broke", 0), ("broke", 3)) == [
        "",
        "2 replicas broke as soon as they had this request",
    ]


def test_a_request_that_was_merely_there_goes_on() -> None:
    assert run(*[("broke", 50)] * 10) == [""] * 10


def test_three_attempts_without_a_token_are_enough() -> None:
    assert run(("failed", 0), ("silent", 0), ("failed", 0)) == ["", "", "3 attempts were made"]


def test_refusals_count_half_and_progress_forgives() -> None:
    assert run(*[("refused", 0)] * 6)[-2:] == ["", "6 attempts were made"]
    assert run(*[("aborted", 0)] * 6)[-2:] == ["", "6 attempts were made"]
    assert run(("failed", 0), ("failed", 0), ("silent", 9), ("failed", 0))[-1] == ""


def test_a_stale_connection_was_no_attempt() -> None:
    state, verdict = Attempts().began().ended("stale", 0, 0.9)
    assert (state, verdict.pause) == (Attempts(), 0.0)


@given(steps)
def test_it_ends_and_its_pauses_are_bounded(taken: list[tuple[Fate, int, float]]) -> None:
    state = Attempts()
    for fate, tokens, chance in taken:
        state, verdict = state.began().ended(fate, tokens, chance)
        assert 0 <= verdict.pause <= LONGEST_PAUSE
        assert state.made <= MOST
        if verdict.why:
            return
    assert len(taken) < MOST or not taken
