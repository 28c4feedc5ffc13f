"""Each cause is found where it is the only thing that is wrong; waits, limits and pages that err."""

from dataclasses import replace

import pytest
from diagnosis_kit import SICK, asked, causes, gateway, looks, many, replica, seen, waited

from headrace.diagnosis.causes import CARDS, Cause, Part
from headrace.diagnosis.diagnose import diagnose, times
from headrace.diagnosis.finding import Judgement
from headrace.diagnosis.observation import Outcome


def test_every_cause_has_an_observation_that_shows_it() -> None:
    assert set(SICK) == set(Cause) == set(CARDS)


@pytest.mark.parametrize("cause", Cause)
def test_a_cause_is_found_first_and_its_figures_are_told(cause: Cause) -> None:
    found = diagnose(SICK[cause])
    assert found.judgement == Judgement.AT_FAULT
    assert found.findings[0].cause == cause
    assert found.verdict == f"{found.findings[0].part} is at fault: {cause}"
    assert all(any(letter.isalnum() for letter in figure) for figure in found.findings[0].figures)
    assert found.findings[0].figures
    assert 0 <= found.findings[0].weight <= 1


def test_nothing_is_wrong_with_a_healthy_fleet() -> None:
    found = diagnose(seen())
    assert (found.judgement, found.findings) == (Judgement.HEALTHY, ())
    assert found.verdict == (
        "nothing is wrong: 30 whole answers in 60 s; TTFT p50 50 ms, p95 50 ms; TPOT p50 10 ms, p95 10 ms"
    )


@pytest.mark.parametrize("count", [0, 1, 4])
def test_few_answers_are_not_enough(count: int) -> None:
    found = diagnose(seen(requests=many(count)))
    assert found.judgement == Judgement.NOT_ENOUGH_DATA
    assert "it takes 5" in found.missing[0].what
    assert "headrace bench" in found.missing[0].remedy


# -- which wait it is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("queued", Cause.GATEWAY_QUEUE), ("held", Cause.COLD_MODEL)],
)
def test_a_late_first_token_is_blamed_on_the_wait_that_took_longest(
    name: str, expected: Cause
) -> None:
    assert causes(seen(requests=many(30, lambda at: waited(at, name, 3.0)))) == [expected]


def test_a_wait_of_one_request_in_twenty_is_chance() -> None:
    requests = (*many(95), *many(5, lambda at: waited(at, "queued", 3.0)))
    assert causes(seen(requests=requests)) == []


def test_a_wait_that_keeps_the_promise_is_no_fault() -> None:
    late = many(30, lambda at: waited(at, "queued", 3.0, promised_ttft=5.0))
    assert causes(seen(requests=late)) == []


def test_a_queue_that_nobody_has_left_yet_is_seen_at_the_gateway() -> None:
    stuck = seen(requests=(), waiting=gateway(queued=7, running=16))
    assert causes(stuck) == [Cause.GATEWAY_QUEUE]
    assert causes(seen(requests=(), waiting=gateway(2, queued=7))) == []


def test_those_that_were_turned_away_stand_for_a_queue() -> None:
    away = many(6, lambda at: asked(at, outcome=Outcome.REFUSED, error="queue_full", ttft=None))
    assert causes(seen(requests=(*many(20), *away))) == [Cause.GATEWAY_QUEUE]


def test_a_wait_inside_the_engine_is_a_batch_that_is_full() -> None:
    inside = many(30, lambda at: waited(at, "engine", 2.05, engine_queue=2.0, ttft=2.05))
    full = replica(looks=looks(running=16, waiting=8))
    assert causes(seen(requests=inside, replicas=(full,))) == [Cause.OVERLOADED_BATCH]


def test_an_engine_that_does_not_tell_its_queue_is_believed_by_its_gauge() -> None:
    inside = many(30, lambda at: waited(at, "engine", 2.0, engine_queue=None, ttft=2.0))
    full = replica(room=None, looks=looks(running=16, waiting=8))
    assert causes(seen(requests=inside, replicas=(full,))) == [Cause.OVERLOADED_BATCH]


def test_a_full_kv_cache_explains_a_queue_inside_the_engine() -> None:
    inside = many(30, lambda at: waited(at, "engine", 2.05, engine_queue=2.0, ttft=2.05))
    full = replica(looks=looks(running=5, waiting=8, kv_usage=0.97))
    assert causes(seen(requests=inside, replicas=(full,))) == [
        Cause.KV_PRESSURE,
        Cause.OVERLOADED_BATCH,
    ]


# -- clients and limits ----------------------------------------------------------------------------


def test_clients_that_stall_now_are_seen_at_the_gateway() -> None:
    assert causes(seen(waiting=gateway(stalled=2, running=4))) == [Cause.SLOW_CLIENT]
    assert causes(seen(waiting=gateway(stalled=2, running=100))) == []


def test_a_client_whose_clock_shows_far_more_than_the_gateways_is_slow() -> None:
    assert causes(seen(client_mean=3.0, gateway_mean=1.0, sender=0.99)) == [Cause.SLOW_CLIENT]
    assert causes(seen(client_mean=1.1, gateway_mean=1.0)) == []


def test_clients_that_leave_at_any_time_are_no_limit() -> None:
    leaving = many(20, lambda at: asked(at, duration=1.0 + at, outcome=Outcome.GONE))
    assert causes(seen(requests=(*many(20), *leaving))) == []


def test_what_others_outlive_is_no_limit() -> None:
    gone = many(10, lambda at: asked(at, duration=1.5, outcome=Outcome.GONE))
    longer = many(20, lambda at: asked(at, duration=4.0))
    assert causes(seen(requests=(*gone, *longer))) == []


def test_whose_limit_it_may_be_is_said() -> None:
    cut = many(10, lambda at: asked(at, duration=60.0, outcome=Outcome.TIMEOUT))
    found = diagnose(seen(requests=(*many(20), *cut)))
    assert any("nginx" in figure for figure in found.findings[0].figures)


# -- measurement -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        looks(error="503"),
        looks(absent=("running",)),
        looks(running=0, assigned=1),
        looks(generated=70.0),
    ],
)
def test_pages_that_cannot_be_right(page: object) -> None:
    during = many(5, lambda at: asked(at, duration=0.5))
    found = causes(seen(requests=during, replicas=(replica(looks=page),)))
    assert found == [Cause.BAD_METRICS]


def test_a_page_that_is_late_once_is_no_fault() -> None:
    page = (*looks(5), *looks(1, error="timed out"))
    assert causes(seen(replicas=(replica(looks=page),))) == []


def test_a_replica_that_starts_has_no_metrics_yet() -> None:
    coming = replica("chat-2", state="starting", looks=looks(error="connection refused"))
    assert causes(seen(replicas=(replica(), coming))) == []


def test_bad_metrics_do_not_hide_what_else_is_wrong() -> None:
    sick = replace(SICK[Cause.GATEWAY_QUEUE], replicas=SICK[Cause.BAD_METRICS].replicas)
    assert causes(sick) == [Cause.GATEWAY_QUEUE, Cause.BAD_METRICS]


@pytest.mark.parametrize(
    ("wait", "part"), [("queued", Part.ADMISSION), ("engine", Part.GENERATION)]
)
def test_what_nothing_explains_is_put_where_the_time_went(wait: str, part: Part) -> None:
    # 0.1 s are not felt in answers of two minutes, but were not promised either
    late = many(30, lambda at: waited(at, wait, 0.2, promised_ttft=0.1, duration=120.0))
    (finding,) = diagnose(seen(requests=late)).findings
    assert (finding.cause, finding.part) == (Cause.UNEXPLAINED, part)


def test_where_the_time_went_adds_up_to_the_mean_request() -> None:
    requests = (waited(0.0, "queued", 2.0), waited(1.0, "held", 4.0))
    parts = times(seen(requests=requests))
    assert parts["queued for room"] == pytest.approx(1.0)
    assert parts["held for a ready replica"] == pytest.approx(2.0)
    assert sum(parts.values()) == pytest.approx((3.05 + 5.05) / 2)
    assert "client not reading" in parts


def test_what_nobody_saw_is_left_out_of_the_times() -> None:
    parts = times(seen(requests=many(9, lambda at: asked(at, held=None, engine_queue=None))))
    assert set(parts) == {"queued for room", "prefill", "decode", "client not reading"}


def test_a_request_that_was_held_and_queued_is_counted_for_the_longer_wait() -> None:
    both = many(30, lambda at: waited(at, "queued", 2.5, held=2.0, ttft=4.55, duration=5.55))
    assert causes(seen(requests=both)) == [Cause.GATEWAY_QUEUE]


def test_two_pages_read_at_different_moments_may_differ_once() -> None:
    page = (*looks(5), *looks(1, running=0, assigned=3))
    assert causes(seen(replicas=(replica(looks=page),))) == []


def test_answers_that_end_after_the_last_look_are_not_yet_counted_by_the_engine() -> None:
    later = many(6, lambda at: asked(at + 1.0, duration=9.0))
    still = (replica(looks=looks(generated=70.0)),)
    assert causes(seen(requests=later, replicas=still)) == []
    during = many(6, lambda at: asked(at / 2, duration=0.5))
    assert causes(seen(requests=during, replicas=still)) == [Cause.BAD_METRICS]
