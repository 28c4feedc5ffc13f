"""Judgements over accounts: which limit, how long, and whether waiting helps."""

from __future__ import annotations

import pytest

from headrace.routing.allowance import (
    Account,
    Ask,
    Excess,
    Left,
    Subject,
    excess,
    least_left,
)
from headrace.routing.buckets import Bucket
from headrace.routing.route import Limits

NOW = 1_800_000_000.0


def judged(
    limits: Limits, account: Account, prompt: int = 0, output: int | None = None
) -> Excess | None:
    return excess(Subject("key a", limits, "key a"), account, Ask(prompt, output, NOW))


def used(requests: float = 0, tokens: float = 0, running: int = 0) -> Account:
    return Account(Bucket(requests, NOW), Bucket(tokens, NOW), running)


@pytest.mark.parametrize(
    ("limits", "account", "sizes", "what", "wait"),
    [
        (Limits(), used(9e9, 9e9, 9), (10**9, 10**9), None, 0),
        (Limits(requests_per_minute=60), used(59), (0, None), None, 0),
        (Limits(requests_per_minute=60), used(60), (0, None), "requests per minute", 1),
        (Limits(tokens_per_minute=600), used(0, 500), (100, None), None, 0),
        (Limits(tokens_per_minute=600), used(0, 500), (150, None), "tokens per minute", 5),
        (Limits(tokens_per_minute=600), used(0, 900), (0, None), "tokens per minute", 30),
        (Limits(concurrency=2), used(running=1), (0, None), None, 0),
        (Limits(concurrency=2), used(running=2), (0, None), "requests at once", 1),
        (Limits(max_prompt=10), used(), (10, None), None, 0),
        (Limits(max_output=10), used(), (0, 10), None, 0),
        (Limits(max_output=10), used(), (0, None), None, 0),
        # of two reasons the longer one
        (
            Limits(requests_per_minute=60, tokens_per_minute=600),
            used(62, 600), (100, None), "tokens per minute", 10,
        ),
        (
            Limits(requests_per_minute=60, tokens_per_minute=600),
            used(79, 600), (100, None), "requests per minute", 20,
        ),
    ],
)  # fmt: skip
def test_what_and_how_long(
    limits: Limits, account: Account, sizes: tuple[int, int | None], what: str, wait: float
) -> None:
    found = judged(limits, account, *sizes)
    assert (found.what if found else None) == what
    if found:
        assert found.retry_after == pytest.approx(wait)
        assert not found.permanent


@pytest.mark.parametrize(
    ("limits", "prompt", "output", "what"),
    [
        (Limits(max_prompt=10), 11, None, "tokens of a prompt"),
        (Limits(max_output=10), 0, 11, "tokens of an answer"),
        # more than a minute's worth never fits
        (Limits(tokens_per_minute=10), 11, None, "tokens per minute"),
    ],
)
def test_what_no_waiting_helps(limits: Limits, prompt: int, output: int | None, what: str) -> None:
    found = judged(limits, used(), prompt, output)
    assert found is not None
    assert (found.what, found.limit, found.asked, found.permanent) == (what, 10, 11, True)


def test_a_note_says_whose_and_what() -> None:
    found = judged(Limits(tokens_per_minute=1000, enforce=False), used(0, 1000), 1)
    assert found is not None
    assert found.note == "key a: tokens per minute 1000 exceeded (count only)"


def test_the_tightest_is_told_and_what_is_only_counted_is_not() -> None:
    accounts = [
        (Limits(requests_per_minute=60), used(30)),
        (Limits(requests_per_minute=100, tokens_per_minute=600), used(90, 60)),
        (Limits(requests_per_minute=5, tokens_per_minute=5, enforce=False), used(5, 5)),
    ]
    requests, tokens = least_left(accounts, NOW)
    assert requests == Left(100, 10, pytest.approx(54.0))
    assert tokens == Left(600, 540, pytest.approx(6.0))
    assert least_left([(Limits(concurrency=1), used())], NOW) == (None, None)


def test_what_keeps_books() -> None:
    assert Subject("a", Limits(concurrency=1)).remembers
    assert Subject("a", Limits(requests_per_minute=1)).remembers
    assert Subject("a", Limits(tokens_per_minute=1)).remembers
    assert not Subject("a", Limits(max_prompt=1, max_output=1)).remembers
    assert not Subject("a").remembers
