"""What a diagnosis sees of a finished run: each figure from where it stands, unknown where it stands nowhere."""

from __future__ import annotations

from dataclasses import fields

import pytest
from made_runs_kit import about, answer, failed

from headrace.bench.answers import Answer, Failure
from headrace.bench.run import Run
from headrace.bench.samples import Sample
from headrace.bench.summary import summarise
from headrace.bench.symptoms import observe
from headrace.diagnosis.causes import Cause
from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.finding import Judgement
from headrace.diagnosis.observation import Outcome, Request


def run(*answers: Answer, samples: tuple[Sample, ...] = (), **told: object) -> Run:
    return Run(about(**told), list(answers), list(samples))


def one(given: Answer, **told: object) -> Request:
    (request,) = observe(run(given, **told)).requests
    return request


def test_an_answer_from_behind_a_gateway_has_its_waits_apart() -> None:
    request = one(
        answer(at=7.0, held=0.02, queued=0.03, replica="chat-2", cached_tokens=4),
        slo={"ttft": 1.0, "tpot": 0.05},
    )
    assert request == Request(
        at=7.0, duration=pytest.approx(0.15), replica="chat-2", held=0.02, queued=0.03,
        engine=pytest.approx(0.05), ttft=pytest.approx(0.1), tpot=pytest.approx(0.02),
        longest_gap=0.02, prompt_tokens=10, cached_tokens=4, output_tokens=3,
        promised_ttft=1.0, promised_tpot=0.05,
    )  # fmt: skip


def test_what_an_answer_does_not_tell_is_unknown() -> None:
    bare = answer(gaps=[], prompt_tokens=None, output_tokens=None)
    request = one(bare, slo={})
    known = {field.name for field in fields(request) if getattr(request, field.name) is not None}
    always = {"at", "duration", "outcome", "left", "sent_away", "error"}
    assert known == always | {"engine", "ttft"}


@pytest.mark.parametrize(
    ("kind", "status", "outcome", "error"),
    [
        (Failure.UNREACHABLE, None, Outcome.REFUSED, "unreachable: because"),
        (Failure.REFUSED, 429, Outcome.REFUSED, "queue_full"),
        (Failure.REFUSED, 504, Outcome.TIMEOUT, "refused: because"),
        (Failure.REFUSED, 502, Outcome.FAILED, "refused: because"),
        (Failure.REFUSED, 400, Outcome.REFUSED, "refused: because"),
        (Failure.RESET, 200, Outcome.FAILED, "reset: because"),
        (Failure.CUT, 200, Outcome.FAILED, "cut: because"),
        (Failure.SILENT, 200, Outcome.FAILED, "silent: because"),
    ],
)
def test_failures_are_told_apart(
    kind: Failure, status: int | None, outcome: Outcome, error: str
) -> None:
    request = one(failed(0, 0.0, kind, status=status, detail="because"))
    assert (request.outcome, request.error) == (outcome, error)


@pytest.mark.parametrize(
    ("finish", "detail", "away"),
    [("abort", "", True), ("cancelled", "", True), (None, "error: connection abort", False)],
)
def test_an_aborted_answer_is_known_by_its_finish(
    finish: str | None, detail: str, away: bool
) -> None:
    request = one(failed(0, 0.0, Failure.CUT, status=200, finish=finish, detail=detail))
    assert request.sent_away is away


def test_the_gateways_own_word_for_a_refusal_is_kept() -> None:
    request = one(failed(0, 0.0, Failure.REFUSED, status=503, detail='{"code": "waited_too_long"}'))
    assert request.error == "waited_too_long"


def test_the_warm_up_and_what_the_end_of_the_run_stopped_say_nothing() -> None:
    seen = observe(run(answer(warmup=True), failed(1, 1.0, Failure.STOPPED), answer(2, 2.0)))
    assert [request.at for request in seen.requests] == [2.0]


PAGES = (
    Sample(
        at=1.0,
        source="gateway",
        values={
            'headrace_queued{deployment="a"}': 2.0,
            'headrace_queued{deployment="b"}': 3.0,
            'headrace_replica_running{deployment="a",replica="chat-1"}': 4.0,
        },
    ),
    Sample(at=1.1, source="engine:chat-1", values={"running": 3.0, "generation_tokens": 70.0}),
    Sample(at=2.0, source="engine:chat-1", error="timed out"),
)


def test_samples_become_looks() -> None:
    seen = observe(run(answer(), samples=PAGES))
    (gateway,) = seen.waiting
    assert (gateway.queued, gateway.held) == (5, None)
    (replica,) = seen.replicas
    assert replica.deployment == "a"
    first, second = replica.looks
    assert (first.running, first.waiting, first.generated, first.assigned) == (3.0, None, 70.0, 4)
    assert first.absent == ("waiting",)
    assert (second.error, second.running) == ("timed out", None)


def test_what_was_not_looked_at_is_said() -> None:
    whole = {one.what for one in observe(run(answer())).unseen}
    assert len(whole) == 3
    assert len(observe(run(answer(), samples=PAGES)).unseen) == 1


def durations(gateway: float, requests: int) -> tuple[Sample, ...]:
    name = 'headrace_request_seconds_{}{{deployment="a",route="r"}}'
    return tuple(
        Sample(at=at, source="gateway", values={name.format("sum"): share * gateway * requests,
                                                name.format("count"): share * requests})
        for at, share in ((0.0, 0.0), (60.0, 1.0))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gateway", "requests", "expected"),
    [(1.0, 10, []), (0.3, 10, [Cause.SLOW_CLIENT]), (0.3, 99, [])],
)
def test_two_clocks_are_compared_where_both_saw_the_same_requests(
    gateway: float, requests: int, expected: list[Cause]
) -> None:
    answers = [answer(number, float(number), ended=number + 1.0) for number in range(10)]
    seen = observe(run(*answers, samples=durations(gateway, requests)))
    assert [finding.cause for finding in diagnose(seen).findings] == expected


def test_an_empty_run_is_not_enough() -> None:
    assert diagnose(observe(run())).judgement == Judgement.NOT_ENOUGH_DATA


def test_its_percentiles_are_those_of_the_runs_report() -> None:
    few = run(*(answer(at, at=float(at), first=at + 0.1 * (at + 1)) for at in range(10)))
    shown = summarise(few).latencies.ttft
    assert (shown.p50, shown.p95) == (pytest.approx(0.55), pytest.approx(0.955))
    assert "TTFT p50 550 ms, p95 955 ms" in diagnose(observe(few)).verdict
