"""A sound run is not doubted; each thing that spoils a run is named, with its figures."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from made_runs_kit import Server, about, answer, failed, made, run_of

from headrace.bench.answers import Failure
from headrace.bench.doubt import Doubt, Severity
from headrace.bench.run import Run
from headrace.bench.samples import Sample
from headrace.bench.summary import summarise
from headrace.bench.validity import judge, worst


def doubts(run: Run) -> tuple[Doubt, ...]:
    return judge(run, summarise(run))


def about_that(run: Run, words: str) -> Doubt:
    found = [one for one in doubts(run) if words in one.sentence]
    assert len(found) == 1, [str(one) for one in doubts(run)]
    return found[0]


def silent_on(run: Run, words: str) -> None:
    assert not [one for one in doubts(run) if words in one.sentence]


def changed(run: Run, change: Callable[[Any], dict[str, Any]]) -> Run:
    """The run with some fields of each counted answer changed."""
    run.answers = [
        one if one.warmup else msgspec.structs.replace(one, **change(one)) for one in run.answers
    ]
    return run


@pytest.mark.parametrize("seed", range(5))
def test_a_sound_run_is_not_doubted(seed: int) -> None:
    assert doubts(made(count=1030, seed=seed)) == ()


@pytest.mark.parametrize(
    ("late", "severity", "words"),
    [
        (0.0001, None, ""),
        (0.0012, Severity.NOTE, "too little"),  # p99 of an exponential: 4.6 means = 5.5 ms
        (0.003, Severity.DOUBTFUL, "9 % of the median TTFT"),
        (0.02, Severity.WORTHLESS, "measure the client"),
        (5.0, Severity.WORTHLESS, " times the median TTFT"),
    ],
)
def test_lag_against_the_ttft(late: float, severity: Severity | None, words: str) -> None:
    run = made(count=1030, late=late)
    if severity is None:
        silent_on(run, "late or more")
        return
    found = about_that(run, "late or more")
    assert found.severity is severity
    assert words in found.sentence or words in found.remedy


def test_a_bound_on_requests_in_flight_is_named_as_the_reason() -> None:
    run = made(count=300, late=0.05)
    run.about.load["most_in_flight"] = summarise(run).flight.peak
    assert "raise --most-in-flight" in about_that(run, "late or more").remedy


def test_a_closed_loop_is_slow_rather_than_late() -> None:
    load = {"concurrency": 4}
    answers = [answer(n, n * 0.2, sent=n * 0.2 + 0.05, first=n * 0.2 + 0.1) for n in range(40)]
    found = about_that(run_of(answers, load=load), "Between an answer and the next request")
    assert "50 ms" in found.sentence
    assert "fewer than the asked 4" in found.sentence
    silent_on(run_of(answers, load=load), "late or more")


def test_a_busy_client() -> None:
    run = made(count=300)
    run.samples += [
        Sample(at=float(at), source="client", values={"cpu": 0.97, "lag": 0.2}) for at in range(55)
    ] * 8
    assert about_that(run, "of a core").severity is Severity.DOUBTFUL
    assert about_that(run, "event loop").severity is Severity.DOUBTFUL


def test_a_lost_worker_leaves_nothing_and_a_full_disk_is_told() -> None:
    run = made(count=300)
    run.about.lost = ["sender 2 died (signal 9): 70 of its 150 requests have no answer"]
    found = about_that(run, "was lost")
    assert found.severity is Severity.WORTHLESS
    assert "70 of its 150" in found.sentence
    run.about.lost = []
    run.about.trouble = ["from 12 s on nothing was kept on disk: No space left on device"]
    assert about_that(run, "No space left").severity is Severity.DOUBTFUL


def test_arrivals_other_than_asked() -> None:
    run = made(count=400)
    run.about.workload["arrivals"] = {"type": "constant", "rate": 5.0}
    silent_on(run, "requests a second were sent")
    half = changed(made(count=400), lambda one: {"sent": one.due + 0.5 * (one.due - 10)})
    assert about_that(half, "requests a second were sent").severity is Severity.WORTHLESS
    bunched = changed(made(count=400), lambda one: {"sent": float(int(one.due)) + 1})
    assert "coefficient of variation" in about_that(bunched, "did not come as").sentence


@pytest.mark.parametrize(
    ("bad", "severity"),
    [(2, None), (8, Severity.DOUBTFUL), (30, Severity.WORTHLESS)],
)
def test_failures_by_their_share(bad: int, severity: Severity | None) -> None:
    good = [answer(n, n * 0.2) for n in range(400)]
    run = run_of([*good, *(failed(900 + n, n * 0.3, Failure.SILENT) for n in range(bad))])
    if severity is None:
        silent_on(run, "failed")
        return
    found = about_that(run, "failed (silent")
    assert found.severity is severity
    assert f"silent {bad}" in found.sentence


def test_too_few_for_a_percentile() -> None:
    some = [answer(n, n * 0.2) for n in range(400)]
    assert "even the median" in about_that(run_of(some[:9]), "9 whole answers").sentence
    found = about_that(run_of(some[:40]), "40 whole answers")
    assert found.severity is Severity.DOUBTFUL
    assert "the p99 lies between the two largest" in found.sentence
    found = about_that(run_of(some), "p99 of 400 answers")
    assert (found.severity, "slowest 4" in found.sentence) == (Severity.NOTE, True)


def test_nothing_at_all() -> None:
    assert about_that(run_of([]), "No request was counted").severity is Severity.WORTHLESS
    assert "all 1 were warm-up" in about_that(run_of([answer(warmup=True)]), "No request").sentence
    assert worst(doubts(run_of([]))) is Severity.WORTHLESS


def test_an_open_loop_above_capacity_grows() -> None:
    found = about_that(made(rate=16, count=600), "faster than they were answered")
    assert found.severity is Severity.DOUBTFUL
    assert "15.9 a second came" in found.sentence


def test_far_above_capacity_a_run_is_not_called_too_short_for_answers_that_waited() -> None:
    run = made(rate=60, count=600)  # 10 s, and an answer takes 2.4 s where nobody waits
    about_that(run, "faster than they were answered")
    silent_on(run, "mostly its beginning and its end")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [4, 7, 9])
def test_a_loaded_run_does_not_pass_for_saturated(rate: float, seed: int) -> None:
    silent_on(made(rate=rate, count=600, seed=seed), "faster than they were answered")


def test_a_ramp_is_meant_to_grow() -> None:
    run = made(rate=16, count=600)
    run.about.workload["arrivals"] = {"type": "ramp", "start": 1, "end": 30, "seconds": 30}
    silent_on(run, "faster than they were answered")


def test_drift_from_the_first_third_to_the_last() -> None:
    run = changed(
        made(count=600),
        lambda one: {"first": one.first + (0.05 if one.due > 70 else 0.0)},
    )
    assert "The median TTFT" in about_that(run, "was not the same all along").sentence


def test_a_server_that_was_not_warm() -> None:
    run = changed(made(count=300), lambda one: {"first": one.first + (one.number < 32) * 0.6})
    found = about_that(run, "not yet warm")
    assert "after 20 requests of warm-up" in found.sentence


def test_tokens_counted_by_events() -> None:
    run = changed(made(count=300), lambda _: {"tokens_from": "events"})
    assert "280 answers" in about_that(run, "told no usage").sentence


def test_usage_that_contradicts_the_events() -> None:
    fewer = changed(made(count=300), lambda _: {"output_tokens": 20})
    assert about_that(fewer, "one of the two is wrong").severity is Severity.DOUBTFUL
    more = changed(made(count=300), lambda _: {"output_tokens": 240})
    found = about_that(more, "An event carried")
    assert (found.severity, "carried 4 tokens" in found.sentence) == (Severity.NOTE, True)


def test_answers_shorter_than_asked() -> None:
    run = changed(made(count=300), lambda one: {"max_tokens": 60 + 60 * (one.number % 2)})
    silent_on(run, "shorter than asked")
    run.about.load["exact_length"] = True
    found = about_that(run, "shorter than asked")
    assert "60 of 120 tokens" in found.sentence


def test_cache_hits_where_no_prompts_are_alike() -> None:
    silent_on(made(count=300, server=Server(hit_share=0.25)), "prefix cache")  # the template's
    run = made(count=300, server=Server(hit_share=0.8))
    assert "50 %" in about_that(run, "prefix cache").sentence
    run.about.workload["prefix"] = {"tokens": 100}
    silent_on(run, "prefix cache")


def test_a_run_that_was_ended() -> None:
    run = made(count=300)
    run.about.interrupted = True
    assert about_that(run, "ended early").severity is Severity.NOTE
    run.answers += [failed(900 + n, 50.0, Failure.STOPPED) for n in range(40)]
    assert about_that(run, "40 requests in flight").severity is Severity.DOUBTFUL


@pytest.mark.parametrize(("stopped", "words"), [(1, "1 request"), (2, "2 requests")])
def test_what_was_in_flight_then_is_told_in_one_grammar(stopped: int, words: str) -> None:
    run = made(count=300)
    run.answers += [failed(900 + n, 50.0, Failure.STOPPED) for n in range(stopped)]
    said = f"The run was ended early, leaving {words} in flight that no figure counts."
    assert about_that(run, "ended early").sentence == said


def test_an_engine_nobody_looked_at_or_that_did_not_answer() -> None:
    run = made(count=300)
    seen = [one for one in run.samples if not one.source.startswith("engine")]
    run.samples = seen
    about_that(run, "No engine's metrics were read")
    bad = [Sample(at=float(at), source="engine:x", error="timed out") for at in range(60)]
    run.samples = [*seen, *bad]
    never = about_that(run, "looks at the metrics of engine x")
    assert "timed out" in never.sentence
    assert never.remedy.startswith("It has no figures;")


def test_of_two_pages_that_did_not_answer_each_has_its_own_error() -> None:
    run = made(count=300)
    errors = {"engine:x": "timed out", "engine:y": "refused", "gateway": "no page"}
    run.samples = [
        Sample(at=at + late / 10, source=source, error=error)
        for at in range(60)
        for late, (source, error) in enumerate(errors.items())
    ]
    for name, error in (
        ("engine x", "timed out"),
        ("engine y", "refused"),
        ("the gateway", "no page"),
    ):
        assert about_that(run, f"of {name} failed").sentence.endswith(f"failed ({error}).")


def engine_with(run: Run, **factors: float) -> Run:
    """The run with the engine's figures multiplied."""
    run.samples = [
        msgspec.structs.replace(
            one, values={name: value * factors.get(name, 1) for name, value in one.values.items()}
        )
        if one.source.startswith("engine")
        else one
        for one in run.samples
    ]
    return run


def test_engines_that_served_others_or_are_not_those() -> None:
    found = about_that(engine_with(made(count=300), success=1.5), "others used them")
    assert found.severity is Severity.DOUBTFUL
    about_that(engine_with(made(count=300), success=0.5), "some replicas were not looked at")


def test_a_ttft_that_the_engine_does_not_explain() -> None:
    run = engine_with(made(count=300), ttft_sum=0.3)
    assert "in the gateway, or between it" in about_that(run, "were lost").sentence
    run = engine_with(made(count=300, gateway=False), ttft_sum=0.3)
    assert "between client and engine" in about_that(run, "were lost").sentence
    about_that(engine_with(made(count=300), ttft_sum=2), "no engine is slower than what it serves")


def test_a_slow_way_to_the_gateway() -> None:
    run = changed(made(count=300), lambda one: {"first": one.first + 0.2, "last": one.last + 0.2})
    assert "between client and gateway" in about_that(run, "were lost").sentence


def test_answers_of_a_static_batch_are_handed_over_late_and_lost_nowhere() -> None:
    run = engine_with(made(count=300), ttft_sum=0.3)
    run.about.load = {**run.about.load, "batch": 16}
    silent_on(run, "were lost")


def test_a_wait_in_the_gateway_is_explained() -> None:
    silent_on(made(rate=12, count=500, server=replace(Server(), slots=12)), "were lost")


def test_an_engine_that_began_anew() -> None:
    run = made(count=300)
    run.samples.append(Sample(at=30.5, source="engine:chat-1", values={"generation_tokens": 3}))
    about_that(run, "began anew")


def test_a_run_that_says_nothing_of_its_load_is_judged_all_the_same() -> None:
    run = made(count=300)
    run.about = about(load={"workers": {"?": 1}, "warmup": "x"}, workload={"arrivals": 7})
    assert worst(doubts(run)) in (None, Severity.NOTE)


def test_the_worst_comes_first() -> None:
    run = made(count=60, late=0.05, server=Server(hit_share=0.8))
    order = [one.severity for one in doubts(run)]
    assert order == sorted(order, key=list(Severity).index)
    assert order[0] is Severity.WORTHLESS
