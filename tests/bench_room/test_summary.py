"""Figures of runs: by hand to the last digit, and what must hold of any run."""

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs_kit import answer, failed, made, run_of

from headrace.bench.answers import Answer, Failure
from headrace.bench.goodput import Goodput
from headrace.bench.samples import Sample
from headrace.bench.spread import Spread, enough, spread
from headrace.bench.summary import Summary, summarise


def tiny() -> list[Answer]:
    """A warm-up, three whole answers, a reset stream and one that the run's end stopped.

    Due 10, 11, 12, 13, 14; the second was sent 0.5 s late.
    """
    return [
        answer(0, 1.0, warmup=True, first=9.0, ended=9.5, output_tokens=500),
        answer(1, 10.0, shape="a"),
        answer(2, 11.0, shape="b", sent=11.5, first=11.9, last=12.5, ended=12.5,
               gaps=[0.1, 0.5], prompt_tokens=30, cached_tokens=12, output_tokens=4),
        answer(3, 12.0, shape="a", first=12.2, last=12.2, ended=12.2, gaps=[], output_tokens=1),
        failed(4, 13.0, Failure.RESET, after=2.0, first=13.1, output_tokens=7, shape="b"),
        failed(5, 14.0, Failure.STOPPED, after=2.0, shape="b"),
    ]  # fmt: skip


def test_tiny_run_by_hand() -> None:
    found = summarise(run_of(tiny(), slo={"ttft": 0.3, "tpot": 0.1}))
    assert found.duration == pytest.approx(6.0)  # 10 to 16
    assert found.counts.failures == {"reset": 1}
    counts = found.counts
    assert (counts.asked, counts.whole, counts.failed) == (5, 3, 1)
    assert (counts.stopped, counts.warmup) == (1, 1)
    assert counts.failed_share == pytest.approx(0.25)
    ttft = found.latencies.ttft  # 0.1, 0.2, 0.4
    assert (ttft.count, ttft.p50, ttft.max) == (3, pytest.approx(0.2), pytest.approx(0.4))
    assert ttft.mean == pytest.approx(0.7 / 3)
    assert ttft.p90 == pytest.approx(0.2 + 0.8 * 0.2)  # 0.9 * 2 = the place 1.8
    assert ttft.p99 == pytest.approx(0.2 + 0.98 * 0.2)
    assert found.latencies.ttft_due.max == pytest.approx(0.9)
    tpot = found.latencies.tpot  # 0.04 / 2 and 0.6 / 3; one token has none
    assert (tpot.count, tpot.p50) == (2, pytest.approx(0.11))
    itl = found.latencies.itl  # 0.02, 0.02, 0.1, 0.5
    assert (itl.count, itl.p50, itl.max) == (4, pytest.approx(0.06), pytest.approx(0.5))
    assert found.latencies.e2e.p50 == pytest.approx(0.2)  # 0.15, 0.2, 1.0
    assert found.latencies.e2e_due.max == pytest.approx(1.5)
    assert (found.lag.count, found.lag.max) == (5, pytest.approx(0.5))
    assert found.offered == pytest.approx(1.0)
    assert found.requests == pytest.approx(3 / 6)
    assert found.output_tokens == pytest.approx(8 / 6)
    assert found.total_tokens == pytest.approx((8 + 50) / 6)
    tokens = found.tokens
    assert (tokens.prompt, tokens.output, tokens.cached, tokens.lost) == (50, 8, 12, 7)
    assert tokens.hit_share == pytest.approx(12 / 30)
    assert (tokens.by_usage, tokens.by_events) == (3, 0)
    assert found.flight.peak == 2  # the reset one until 15, the stopped one from 14 on
    assert found.flight.mean == pytest.approx((0.15 + 1.0 + 0.2 + 2.0 + 2.0) / 6)
    assert set(found.shapes) == {"a", "b"}
    assert (found.shapes["b"].asked, found.shapes["b"].whole, found.shapes["b"].failed) == (3, 1, 1)
    assert found.replicas == {}
    assert found.first_third.asked == found.last_third.asked == 1


def test_goodput_counts_from_when_a_request_was_due() -> None:
    found = summarise(run_of(tiny(), slo={"ttft": 0.3, "tpot": 0.1})).goodput
    # kept: 1 and 3 (one token keeps any TPOT); 2 misses both; 4 failed; 5 had waited 2 s: missed
    assert found == Goodput(
        met=2, judged=5, share=0.4, rate=pytest.approx(2 / 6), share_sent=0.4,
        missed={"tpot": 1, "ttft": 2, "failure": 1},
    )  # fmt: skip
    kept = summarise(run_of(tiny(), slo={"ttft": 0.5})).goodput
    assert kept is not None
    assert (kept.met, kept.share_sent) == (2, pytest.approx(3 / 5))  # 0.9 due, 0.4 sent


def test_a_stopped_request_that_had_missed_nothing_is_not_judged() -> None:
    waiting = failed(2, 0.1, Failure.STOPPED, after=0.2)
    answering = failed(3, 0.1, Failure.STOPPED, after=9.0, first=0.2)
    answers = [answer(1, 0.0), waiting, answering]
    found = summarise(run_of(answers, slo={"ttft": 0.3})).goodput
    assert found is not None
    assert (found.met, found.judged) == (1, 1)


def test_without_slo_or_answers() -> None:
    found = summarise(run_of([]))
    assert found.goodput is None
    assert (found.duration, found.requests, found.offered) == (0, 0, 0)
    assert found.latencies.ttft == Spread()
    assert summarise(run_of([answer(0, 1.0, warmup=True)])).counts.warmup == 1


def test_summary_survives_json() -> None:
    found = summarise(made(count=100))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Summary) == found


def test_percentiles_are_numpys() -> None:
    values = [random.Random(3).lognormvariate(0, 1) for _ in range(101)]
    found = spread(values)
    for share in (50, 90, 95, 99):
        assert getattr(found, f"p{share}") == pytest.approx(np.percentile(values, share))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60))
def test_percentiles_rise(values: list[float]) -> None:
    found = spread(values)
    shown = [min(values), found.p50, found.p90, found.p95, found.p99, found.max]
    assert shown == sorted(shown)  # type: ignore[type-var]
    assert min(values) <= (found.mean or 0) * (1 + 1e-12)
    assert (found.mean or 0) <= max(values) * (1 + 1e-12)


def test_enough_means_ten_beyond() -> None:
    assert enough(99, 1000)
    assert not enough(99, 999)
    assert enough(50, 20)


@given(st.randoms(use_true_random=False))
def test_order_makes_no_difference(dice: random.Random) -> None:
    run = made(count=40, warmup=3, fail={Failure.RESET: 0.1})
    before = summarise(run)
    dice.shuffle(run.answers)
    assert summarise(run) == before


@given(st.lists(st.sampled_from([one for one in Failure if one != Failure.STOPPED]), max_size=8))
def test_failures_move_no_latency(kinds: list[Failure]) -> None:
    answers = [answer(number, number / 7) for number in range(20)]
    bad = [failed(100 + place, place / 5, kind, first=99.0) for place, kind in enumerate(kinds)]
    alone, mixed = summarise(run_of(answers)), summarise(run_of([*bad, *answers]))
    assert mixed.latencies == alone.latencies
    assert mixed.tokens.output == alone.tokens.output
    assert mixed.counts.failed == len(kinds)


def test_a_closed_loop_never_has_more_in_flight_than_clients() -> None:
    answers = [
        answer(4 * turn + client, turn * 0.15, ended=(turn + 1) * 0.15)
        for turn in range(10)
        for client in range(4)
    ]
    found = summarise(run_of(answers)).flight
    assert found.peak == 4
    assert found.mean == pytest.approx(4)


def test_long_series_are_thinned_without_losing_the_peak() -> None:
    found = summarise(made(rate=50, count=2000)).flight
    assert len(found.series) <= 120
    assert max(count for _, count in found.series) == found.peak


def test_a_thinned_series_tells_the_pauses_of_a_light_load() -> None:
    answers = [answer(0, 0.0, ended=1.0), answer(1, 100.0, ended=101.0)]
    series = summarise(run_of(answers)).flight.series
    between = [count for at, count in series if at < 99][-1]
    assert between == 0, series


def engine(at: float, **values: float) -> Sample:
    return Sample(at=at, source="engine:chat-1", values=values)


def test_engines_own_counters_leave_out_the_warm_up() -> None:
    answers = [answer(0, 1.0, warmup=True), answer(1, 5.0), answer(2, 7.0)]
    samples = [
        engine(0.0, running=9, ttft_sum=50, ttft_count=10, prefix_hits=0, prefix_queries=0),
        engine(4.0, running=1, ttft_sum=60, ttft_count=20, prefix_hits=10, prefix_queries=100),
        engine(6.0, running=3, ttft_sum=60.5, ttft_count=21, prefix_hits=10, prefix_queries=150),
        Sample(at=6.5, source="engine:chat-1", error="timed out"),
        engine(8.0, running=2, ttft_sum=61, ttft_count=22, prefix_hits=60, prefix_queries=200),
        engine(20.0, running=9, ttft_sum=99, ttft_count=30, prefix_hits=90, prefix_queries=300),
    ]
    found = summarise(run_of(answers, samples)).own.engines
    assert len(found) == 1
    own = found[0]
    assert (own.source, own.looks, own.failed_looks) == ("chat-1", 4, 1)
    assert own.ttft == pytest.approx(0.5)  # 1 s over 2 requests, from 4.0 to 8.0
    assert own.running is not None
    assert (own.running.mean, own.running.max) == (pytest.approx(2.0), 3)
    assert own.hit_share == pytest.approx(0.5)
    assert own.kv_usage is None  # absent is not 0
    assert own.preemptions is None


def test_an_engine_that_comes_during_the_run_counts_from_nothing() -> None:
    new = Sample(at=3.0, source="engine:chat-1", values={"success": 7, "ttft_count": 0}, new=True)
    later = engine(9.0, success=30, ttft_count=20, ttft_sum=10)
    own = summarise(run_of([answer(1, 0.5, ended=8.0)], [new, later])).own.engines[0]
    assert (own.success, own.restarts, own.looks) == (30, 0, 2)
    # It came in the warm-up: what it had done before the first that counts is left out.
    own = summarise(run_of([answer(1, 4.0, ended=8.0)], [new, later])).own.engines[0]
    assert own.success == 23


def test_a_restarted_engine_has_counters_that_fall() -> None:
    samples = [engine(0.0, generation_tokens=100), engine(1.0, generation_tokens=150),
               engine(2.0, generation_tokens=20), engine(9.0, generation_tokens=30)]  # fmt: skip
    own = summarise(run_of([answer(1, 0.5, ended=8.0)], samples)).own.engines[0]
    assert own.restarts == 1
    assert own.generation_tokens == 50 + 20 + 10


def test_gateway_counters_are_summed_over_labels_and_begin_at_nothing() -> None:
    def look(at: float, **more: float) -> Sample:
        values = {'headrace_queued{deployment="a"}': 2.0, 'headrace_queued{deployment="b"}': 3.0}
        return Sample(at=at, source="gateway", values={**values, **more})

    errors = {'headrace_errors_total{route="r",deployment="a",kind="full"}': 4.0}
    waits = {
        'headrace_wait_seconds_sum{route="r",deployment="a",kind="held"}': 8.0,
        'headrace_wait_seconds_count{route="r",deployment="a",kind="held"}': 4.0,
        'headrace_wait_seconds_sum{route="r",deployment="a",kind="queued"}': 100.0,
        'headrace_wait_seconds_count{route="r",deployment="a",kind="queued"}': 4.0,
    }
    run = run_of([answer(1, 1.0)], [look(0.5), look(2.0, **errors, **waits)])
    own = summarise(run).own.gateway
    assert own is not None
    assert own.queued is not None
    assert own.queued.max == 5
    assert (own.errors, own.held_seconds, own.continuations) == (4, pytest.approx(2.0), None)


def test_replicas_and_waits_as_the_gateway_names_them() -> None:
    answers = [
        answer(n, n * 1.0, replica=f"chat-{n % 2}", queued=0.1 * n, held=0.0) for n in range(4)
    ]
    found = summarise(run_of(answers))
    assert {name: part.asked for name, part in found.replicas.items()} == {"chat-0": 2, "chat-1": 2}
    assert found.queued.max == pytest.approx(0.3)
