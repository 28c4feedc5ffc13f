"""Aliases, and when to come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.match import Match, RouteTable
from headrace.routing.pace import Pace, retry_after

TABLE = RouteTable(
    [
        ("smollm2", Match("chat", "small")),
        ("Qwen/Qwen3-8B", Match("chat", "large")),
        ("smollm2", Match("other", "large")),
    ]
)


def test_an_alias_leads_to_the_first_route_that_claims_it() -> None:
    assert TABLE.find("smollm2") == Match("chat", "small")
    assert TABLE.find("SmolLM2") is None
    assert TABLE.aliases == ["smollm2", "Qwen/Qwen3-8B"]


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("smolm2", "smollm2"),
        ("SMOLLM2", "smollm2"),
        ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
        ("x", None),
    ],
)
def test_the_nearest_alias(asked: str, nearest: str | None) -> None:
    assert TABLE.nearest(asked) == nearest


@given(st.text())
def test_any_name_has_an_answer(asked: str) -> None:
    assert TABLE.nearest(asked) in {None, *TABLE.aliases}


@pytest.mark.parametrize(
    ("ahead", "rate", "expected", "seconds"),
    [
        (0, None, None, 5),  # nothing known
        (10, 2.0, None, 5),  # 10 requests at 2 a second
        (10, 2.0, 20.0, 25),  # after the replica has started
        (0, None, 17.2, 18),
        (0, 100.0, None, 1),
        (10_000, 0.1, None, 120),
    ],
)
def test_when_to_come_back(
    ahead: int, rate: float | None, expected: float | None, seconds: int
) -> None:
    assert retry_after(ahead, rate, expected) == seconds


def test_the_pace_of_the_last_requests() -> None:
    pace = Pace()
    assert pace.rate(0.0) is None
    for second in range(5):
        pace.finished(float(second))
    assert pace.rate(4.0) == 1.0  # 4 more requests in 4 seconds
    assert pace.rate(8.0) == 0.5  # and none since
    for _ in range(100):
        pace.finished(10.0)
    assert pace.rate(10.0) is None  # all at one moment: no pace to speak of
