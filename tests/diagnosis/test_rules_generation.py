"""Slow generation: whose fault it is, of the prompts, the batch, the cache, or of others."""

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_kit import BUSY, asked, causes, long_prompt, looks, many, replica, seen, warm_prompt

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.observation import Machine


def test_a_full_batch_that_keeps_its_pace_is_no_fault() -> None:
    assert causes(seen(replicas=(replica(looks=looks(running=16, assigned=16)),))) == []


def test_a_slow_pace_in_a_batch_that_is_not_full_has_another_reason() -> None:
    slow = many(30, lambda at: asked(at, tpot=0.04, duration=4.05))
    assert causes(seen(requests=slow)) == []


def test_a_promise_for_tokens_stands_in_for_a_better_past() -> None:
    slow = many(30, lambda at: asked(at, tpot=0.04, duration=4.05, promised_tpot=0.02))
    full = (replica(looks=looks(running=16, assigned=16)),)
    assert causes(seen(requests=slow, earlier=(), replicas=full)) == [Cause.OVERLOADED_BATCH]
    kept = many(30, lambda at: asked(at, tpot=0.04, duration=4.05, promised_tpot=0.05))
    assert causes(seen(requests=kept, replicas=full)) == []


def test_short_prompts_that_wait_behind_a_long_one_count() -> None:
    def behind(at: float) -> object:
        return asked(at + 0.5, engine=1.5, ttft=1.5, duration=2.5)

    pairs = [one for at in range(0, 60, 4) for one in (long_prompt(float(at)), behind(float(at)))]
    alone = [asked(at + 3.0) for at in range(0, 60, 4)]
    found = diagnose(seen(requests=(*pairs, *alone)))
    assert [one.cause for one in found.findings] == [Cause.LONG_PREFILL]
    assert any("15 shorter requests took 1.5 s" in figure for figure in found.findings[0].figures)


def test_long_prompts_on_another_replica_hold_up_nobody_here() -> None:
    slow = [asked(at + 0.5, engine=1.5, ttft=1.5, duration=2.5) for at in range(0, 60, 4)]
    long = [
        replace(long_prompt(float(at)), replica="chat-2", promised_ttft=5.0)
        for at in range(0, 60, 4)
    ]
    quick = [asked(at + 3.0) for at in range(0, 60, 4)]
    assert Cause.LONG_PREFILL not in causes(seen(requests=(*slow, *long, *quick)))
    here = [replace(one, replica="chat-1") for one in long]
    assert Cause.LONG_PREFILL in causes(seen(requests=(*slow, *here, *quick)))


def test_long_prompts_that_are_cached_cost_nothing() -> None:
    requests = tuple(warm_prompt(float(at)) if at % 2 else asked(float(at)) for at in range(30))
    assert causes(seen(requests=requests)) == []


def test_long_prompts_with_long_answers_are_not_felt() -> None:
    def document(at: float) -> object:
        return asked(at, prompt_tokens=4000, engine=0.4, ttft=0.4, duration=5.0, output_tokens=460)

    requests = tuple(document(float(at)) if at % 2 else asked(float(at)) for at in range(30))
    assert causes(seen(requests=requests)) == []


@pytest.mark.parametrize("preempted", [0, 1])
def test_one_preemption_among_many_requests_is_chance(preempted: int) -> None:
    page = (*looks(3), *looks(3, preemptions=preempted))
    assert causes(seen(replicas=(replica(looks=page),))) == []


def test_preemptions_from_before_do_not_count() -> None:
    assert causes(seen(replicas=(replica(looks=looks(preemptions=500)),))) == []


def test_others_that_take_what_engines_do_not_want_harm_nobody() -> None:
    assert causes(seen(machine=BUSY)) == []


def test_an_engine_that_wants_more_than_there_is_has_no_neighbour_to_blame() -> None:
    alone = Machine(cores=4, others=0.1, idle=0.0, stolen=0.0, by={})
    assert causes(seen(replicas=(replica(starved=0.6),), machine=alone)) == []


def test_a_hypervisor_is_a_neighbour_too() -> None:
    stolen = Machine(cores=4, others=0.1, idle=1.0, stolen=1.0, by={})
    assert causes(seen(replicas=(replica(starved=0.6),), machine=stolen)) == [Cause.NOISY_NEIGHBOUR]


def peers(slow: float, load: int) -> object:
    requests = [
        asked(float(at), replica=name, tpot=pace, duration=0.05 + 100 * pace)
        for name, pace in (("chat-1", 0.01), ("chat-2", slow), ("chat-3", 0.01))
        for at in range(8)
    ]
    busy = {"chat-1": 3, "chat-2": load, "chat-3": 3}
    replicas = [replica(name, looks=looks(running=n, assigned=n)) for name, n in busy.items()]
    return seen(requests=tuple(requests), replicas=tuple(replicas))


@pytest.mark.parametrize(
    ("slow", "load", "expected"),
    [
        (0.03, 3, [Cause.NOISY_NEIGHBOUR]),
        (0.03, 1, [Cause.NOISY_NEIGHBOUR]),
        (0.03, 9, []),  # it has three times their work
        (0.013, 3, []),
    ],
)
def test_a_replica_that_is_slower_than_its_peers(
    slow: float, load: int, expected: list[Cause]
) -> None:
    assert causes(peers(slow, load)) == expected  # type: ignore[arg-type]


def test_a_variant_of_another_deployment_is_no_peer() -> None:
    both: Any = peers(0.03, 3)
    apart = [
        replace(one, deployment="small" if one.name != "chat-2" else "large")
        for one in both.replicas
    ]
    assert causes(replace(both, replicas=tuple(apart))) == []


def test_pauses_of_answers_under_way_are_told_where_a_client_saw_them() -> None:
    def talking(at: float) -> object:
        return asked(at - 0.5, engine=0.05, duration=8.0, longest_gap=1.9)

    pairs = [one for at in range(0, 90, 6) for one in (long_prompt(float(at)), talking(float(at)))]
    found = diagnose(seen(requests=tuple(pairs)))
    assert found.findings[0].cause == Cause.LONG_PREFILL
    assert "15 answers under way paused for up to 1.9 s meanwhile" in found.findings[0].figures


@pytest.mark.parametrize(
    ("others", "first"), [(1.0, Cause.OVERLOADED_BATCH), (3.0, Cause.NOISY_NEIGHBOUR)]
)
def test_a_neighbour_explains_no_more_than_what_it_takes(others: float, first: Cause) -> None:
    slow = many(30, lambda at: asked(at, tpot=0.04, duration=4.05))  # three quarters are lost
    full = replica(looks=looks(running=16, assigned=16), starved=0.6)
    machine = Machine(cores=4, others=others, idle=0.0, stolen=0.0, by={})
    found = causes(seen(requests=slow, replicas=(full,), machine=machine))
    assert found[0] == first
    assert set(found) == {Cause.OVERLOADED_BATCH, Cause.NOISY_NEIGHBOUR}


def test_a_full_kv_cache_for_which_nobody_waits_is_well_used() -> None:
    assert causes(seen(replicas=(replica(looks=looks(kv_usage=0.99)),))) == []
