"""What situations that no rule was made on have taught: each rule that was blind, and its double."""

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_kit import BUSY, asked, causes, looks, many, replica, seen

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.observation import Request


def piece(at: float, tokens: int = 20, **changed: Any) -> Request:
    """An answer in one piece: nobody saw its first token; 50 ms, and 10 ms a token."""
    took = {"duration": 0.05 + 0.01 * tokens, "output_tokens": tokens}
    unseen = {"engine": None, "engine_queue": None, "ttft": None, "tpot": None}
    return asked(at, **{**unseen, **took, **changed})


# -- the batch -------------------------------------------------------------------------------------


def test_many_slow_requests_do_not_outvote_what_a_few_have_shown() -> None:
    slow = many(300, lambda at: asked(at, tpot=0.04, duration=4.05))
    full = (replica(looks=looks(running=16, assigned=16)),)
    assert causes(seen(requests=slow, earlier=many(8), replicas=full)) == [Cause.OVERLOADED_BATCH]


@pytest.mark.parametrize(
    ("running", "expected"), [(20, Cause.OVERLOADED_BATCH), (3, Cause.UNEXPLAINED)]
)
def test_a_broken_promise_far_from_max_num_seqs_is_the_batch_if_that_has_grown(
    running: int, expected: Cause
) -> None:
    slow = many(30, lambda at: asked(at, tpot=0.08, duration=8.05, promised_tpot=0.03))
    alone = many(8, lambda at: asked(-100 + 2 * at))
    roomy = (replica(room=128, looks=looks(running=running, assigned=running)),)
    assert causes(seen(requests=slow, earlier=alone, replicas=roomy)) == [expected]


def test_a_batch_no_larger_than_when_it_was_quick_is_not_why_a_promise_breaks() -> None:
    slow = many(30, lambda at: asked(at, tpot=0.08, duration=8.05, promised_tpot=0.03))
    quick = tuple(asked(-100 + at / 100) for at in range(20))
    roomy = (replica(room=128, looks=looks(running=20, assigned=20)),)
    assert causes(seen(requests=slow, earlier=quick, replicas=roomy)) == [Cause.UNEXPLAINED]


@pytest.mark.parametrize(("running", "blocked"), [(2, True), (6, False)])
def test_a_cache_without_room_for_one_more_like_those_in_it_blocks(
    running: int, *, blocked: bool
) -> None:
    page = looks(kv_usage=0.72, running=running, waiting=4)
    assert (Cause.KV_PRESSURE in causes(seen(replicas=(replica(looks=page),)))) == blocked


def test_a_neighbour_that_costs_less_than_the_batch_does_not_explain_it() -> None:
    slow = many(30, lambda at: asked(at, tpot=0.04, duration=4.05))
    full = (replica(starved=0.5, looks=looks(running=16, assigned=16)),)
    assert causes(seen(requests=slow, replicas=full, machine=BUSY)) == [
        Cause.OVERLOADED_BATCH,
        Cause.NOISY_NEIGHBOUR,
    ]


# -- answers in one piece --------------------------------------------------------------------------


def test_pieces_that_take_long_only_beside_long_prompts_wait_for_these() -> None:
    long = [piece(float(at), prompt_tokens=9000, duration=2.0) for at in range(0, 60, 6)]
    beside = [piece(at + 0.5, duration=1.8) for at in range(0, 60, 6)]
    alone = [piece(at + 4.0) for at in range(0, 60, 6)]
    assert causes(seen(requests=(*long, *beside, *alone))) == [Cause.LONG_PREFILL]
    quick = [replace(one, duration=0.3) for one in beside]
    assert causes(seen(requests=(*long, *quick, *alone))) == []
    always = [replace(one, duration=1.8) for one in alone]
    assert causes(seen(requests=(*long, *beside, *always))) == []
    elsewhere = [replace(one, replica="chat-2") for one in long]
    assert causes(seen(requests=(*elsewhere, *beside, *alone))) == []
    promised = [replace(one, promised_ttft=2.0) for one in beside]
    assert causes(seen(requests=(*long, *promised, *alone))) == []


def _on(name: str, slower: float, lengths: tuple[int, ...]) -> list[Request]:
    mine = [piece(float(at), tokens, replica=name) for at, tokens in enumerate(lengths)]
    return [replace(one, duration=slower * one.duration) for one in mine]


def test_a_replica_is_compared_with_its_peers_by_pieces_too() -> None:
    three = tuple(replica(f"chat-{number}") for number in (1, 2, 3))
    even = (20,) * 10
    requests = (*_on("chat-1", 1, even), *_on("chat-2", 1, even), *_on("chat-3", 2.5, even))
    assert causes(seen(requests=requests, replicas=three)) == [Cause.NOISY_NEIGHBOUR]
    busy = (*three[:2], replica("chat-3", looks=looks(running=6, assigned=6)))
    assert causes(seen(requests=requests, replicas=busy)) == []


def test_a_few_very_short_answers_do_not_make_a_replica_a_slow_one() -> None:
    two = (replica(), replica("chat-2"))
    mixed = (2, 2, 2, 2, 2, 2, 80, 80, 80, 80)
    requests = (*_on("chat-1", 1, (80,) * 10), *_on("chat-2", 1, mixed))
    assert causes(seen(requests=requests, replicas=two)) == []


# -- replicas that are lost ------------------------------------------------------------------------


@pytest.mark.parametrize(("took", "lost"), [(4.0, True), (1.05, False)])
def test_a_few_that_lost_a_replica_count_by_the_time_it_cost_them(
    took: float, *, lost: bool
) -> None:
    left = many(5, lambda at: asked(at, duration=took, left=("chat-2",), error="was silent"))
    found = causes(seen(requests=(*many(75), *left)))
    assert found == ([Cause.LOST_REPLICA] if lost else [])
