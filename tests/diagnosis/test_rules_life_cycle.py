"""Replicas that come and go: when that is a fault, and when it only happens at the same time."""

from dataclasses import replace

import pytest
from diagnosis_kit import asked, causes, cold_prompt, many, replica, seen, waited, warm_prompt

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.observation import Event


def test_a_drain_that_harms_nobody_is_no_fault() -> None:
    going = (replica(), replica("chat-2", state="draining"))
    stopping = (Event(at=2.0, kind="stopping", subject="chat-2", text="draining 3 requests"),)
    assert causes(seen(replicas=going, events=stopping)) == []


def test_a_queue_while_a_replica_drains_is_the_drains_fault() -> None:
    going = (replica(), replica("chat-2", state="draining"))
    requests = (*many(20), *many(10, lambda at: waited(at, "queued", 3.0)))
    assert causes(seen(requests=requests, replicas=going)) == [Cause.DRAINING, Cause.GATEWAY_QUEUE]


@pytest.mark.parametrize(("told", "cause"), [(True, Cause.DRAINING), (False, Cause.LOST_REPLICA)])
def test_an_engine_that_was_told_to_stop_did_not_crash(told: bool, cause: Cause) -> None:
    ended = (Event(at=2.0, kind="crashed", subject="chat-2", text="it ended", told=told),)
    left = many(6, lambda at: asked(at, left=("chat-2",), sent_away=told, error="in some words"))
    assert causes(seen(requests=(*many(20), *left), events=ended)) == [cause]


@pytest.mark.parametrize("error", ["error: Software caused connection abort", "is to be left"])
def test_words_about_a_lost_replica_do_not_make_it_one_that_drains(error: str) -> None:
    left = many(6, lambda at: asked(at, left=("chat-2",), error=error))
    assert causes(seen(requests=(*many(20), *left))) == [Cause.LOST_REPLICA]


def test_a_crash_brings_about_that_requests_are_held() -> None:
    crash = (Event(at=2.0, kind="crashed", subject="chat-1", text="signal 9"),)
    held = (*many(20), *many(10, lambda at: waited(at, "held", 9.0)))
    assert causes(seen(requests=held, events=crash)) == [Cause.LOST_REPLICA, Cause.COLD_MODEL]


def test_a_new_replica_with_a_cold_cache_stands_out_among_its_peers() -> None:
    old = many(20, warm_prompt)
    new = many(10, lambda at: replace(cold_prompt(at), replica="chat-2"))
    both = (replica(), replica("chat-2", age=10.0))
    found = causes(seen(requests=(*old, *new), earlier=(), replicas=both))
    assert found[0] == Cause.COLD_CACHE


def test_a_cold_cache_that_costs_nothing_is_no_fault() -> None:
    same = many(30, lambda at: asked(at, prompt_tokens=2000))
    assert causes(seen(requests=same, earlier=many(20, warm_prompt))) == []


def test_a_replica_that_crashed_while_it_drained_is_lost() -> None:
    events = (
        Event(at=2.0, kind="stopping", subject="chat-2", text="draining 3 requests"),
        Event(at=3.0, kind="crashed", subject="chat-2", text="signal 9"),
    )
    left = many(6, lambda at: asked(at, left=("chat-2",), error="closed the connection"))
    assert causes(seen(requests=(*many(20), *left), events=events)) == [Cause.LOST_REPLICA]


@pytest.mark.parametrize(
    ("queue_at", "expected"),
    [(3.0, [Cause.DRAINING, Cause.GATEWAY_QUEUE]), (30.0, [Cause.GATEWAY_QUEUE])],
)
def test_a_queue_long_after_a_drain_has_another_reason(
    queue_at: float, expected: list[Cause]
) -> None:
    drained = (
        Event(at=2.0, kind="stopping", subject="chat-2", text="draining 3 requests"),
        Event(at=4.0, kind="gone", subject="chat-2", text="stopped"),
    )
    late = many(10, lambda at: waited(queue_at + at / 10, "queued", 3.0))
    assert causes(seen(requests=(*many(20), *late), events=drained)) == expected
