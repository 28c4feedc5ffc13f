"""Arrivals come as their formulas say, each time the same; and what was delivered is judged."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.traffic.arrival_fit import RATE_TOLERANCE, Fit, fit, ks_distance
from headrace.traffic.arrival_words import parse_arrivals
from headrace.traffic.arrivals import (
    Arrivals,
    Constant,
    Gamma,
    Poisson,
    Ramp,
    Replay,
    Step,
    Steps,
    progress,
    progress_inverse,
    times,
)
from headrace.traffic.errors import TrafficError
from headrace.traffic.incomplete_gamma import regularised_gamma
from headrace.traffic.traffic import Traffic

TRACE = Traffic(np.array([0.0, 1.0, 4.0]), np.array([5, 6, 7]), np.array([1, 1, 1]), "trace")
RATES = st.floats(0.01, 1000)
ARRIVALS = st.one_of(
    st.builds(Constant, RATES),
    st.builds(Poisson, RATES),
    st.builds(Gamma, RATES, st.floats(0.05, 50)),
    st.builds(Ramp, RATES, RATES, st.floats(0.1, 1000)),
    st.builds(Steps, st.lists(st.builds(Step, RATES, st.floats(0.1, 100)), min_size=1).map(tuple)),
)


@given(arrivals=ARRIVALS, count=st.integers(1, 300), seed=st.integers(0, 2**31))
def test_as_many_as_asked_rising_and_each_time_the_same(
    arrivals: Arrivals, count: int, seed: int
) -> None:
    due = times(arrivals, count, seed=seed)
    assert len(due) == count
    assert due[0] >= 0
    assert (np.diff(due) >= 0).all()
    assert np.isfinite(due).all()
    assert (times(arrivals, count, seed=seed) == due).all()


@given(arrivals=ARRIVALS, count=st.integers(2, 300))
def test_the_last_comes_when_so_many_are_expected(arrivals: Arrivals, count: int) -> None:
    # n requests in n / rate seconds: the mean rate of even a short run is the one asked for
    last = times(arrivals, count)[-1]
    expected = count - 1 if isinstance(arrivals, Constant) else count
    assert _integral(arrivals, last) == pytest.approx(expected, rel=1e-6)


def _integral(arrivals: Arrivals, until: float) -> float:
    """Sum the rate over time, piece by piece, by the areas of trapezoids and rectangles."""
    match arrivals:
        case Ramp(start, end, seconds):
            within = min(until, seconds)
            reached = start + (end - start) * within / seconds
            return (start + reached) / 2 * within + end * (until - within)
        case Steps(steps):
            total, left = 0.0, until
            for step in steps[:-1]:
                total += step.rate * min(left, step.seconds)
                left -= min(left, step.seconds)
            return total + steps[-1].rate * left
    return arrivals.rate * until


@given(arrivals=ARRIVALS, wanted=st.lists(st.floats(0, 10_000), min_size=1))
def test_progress_and_its_inverse_undo_each_other(arrivals: Arrivals, wanted: list[float]) -> None:
    there = progress(arrivals, progress_inverse(arrivals, np.array(wanted)))
    assert there == pytest.approx(np.array(wanted), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("burstiness", [0.3, 1.0, 4.0])
def test_gamma_is_that_of_vllm(burstiness: float) -> None:
    # benchmarks/serve.py, get_request: theta = 1 / (rate * burstiness), cumulative delays, rescaled
    rate, count = 5.0, 1000
    delays = np.random.default_rng(7).gamma(burstiness, 1 / (rate * burstiness), size=count)
    sums = np.cumsum(delays)
    expected = sums * (count / rate / sums[-1])
    assert times(Gamma(rate, burstiness), count, seed=7) == pytest.approx(expected)
    gaps = np.diff(times(Gamma(rate, burstiness), 50_000, seed=7))
    assert gaps.std() / gaps.mean() == pytest.approx(1 / math.sqrt(burstiness), rel=0.03)


def test_kinds_in_numbers() -> None:
    assert times(Constant(4), 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert len(times(Poisson(5), duration=60)) == 300
    ramp = times(Ramp(1, 10, 60), seed=3)
    assert len(ramp) == 330  # (1 + 10) / 2 * 60
    assert ramp[-1] == pytest.approx(60)
    # in the first half 1 to 5.5 a second: 97.5 of them, give or take three deviations
    assert (ramp < 30).sum() == pytest.approx(97.5, abs=3 * math.sqrt(97.5))
    steps = times(Steps((Step(2, 30), Step(0, 10), Step(8, 30))), seed=3)
    assert len(steps) == 300
    assert not ((steps > 30) & (steps < 40)).any()
    assert (steps <= 30).sum() == pytest.approx(60, abs=3 * math.sqrt(60))
    assert times(Replay(0.5), trace=TRACE).tolist() == [0, 0.5, 2]
    assert times(Replay(2), duration=2.5, trace=TRACE).tolist() == [0, 2]
    assert times(Replay(), 2, trace=TRACE).tolist() == [0, 1]
    assert len(times(Poisson(5), 10, duration=60)) == 10
    assert len(times(Poisson(5), 1000, duration=60)) == 300


@pytest.mark.parametrize(
    ("arrivals", "count", "duration", "words"),
    [
        (Poisson(5), None, None, "say how many requests"),
        (Poisson(5), 0, None, "at least 1"),
        (Poisson(0.01), None, 1.0, "no request is due within 1 seconds"),
        (Poisson(5), 2_000_000, None, "more than 1,000,000 requests"),
        (Poisson(90_000), None, 3600.0, "more than 1,000,000 requests"),
        (Ramp(1, 0, 10), 6, None, "the rate is 0 before 6 requests"),
        (Replay(), 3, None, "needs a trace"),
    ],
)
def test_what_describes_no_times_is_said(
    arrivals: Arrivals, count: int | None, duration: float | None, words: str
) -> None:
    with pytest.raises(TrafficError, match=words):
        times(arrivals, count, duration)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", Poisson(5)),
        (" 0.5 ", Poisson(0.5)),
        ("poisson:5", Poisson(5)),
        ("constant:2", Constant(2)),
        ("gamma:5:0.3", Gamma(5, 0.3)),
        ("ramp:1-10:60s", Ramp(1, 10, 60)),
        ("ramp:0-10:1m", Ramp(0, 10, 60)),
        ("steps:2x30s,8x500ms", Steps((Step(2, 30), Step(8, 0.5)))),
        ("replay", Replay(1)),
    ],
)
def test_words(text: str, expected: Arrivals) -> None:
    assert parse_arrivals(text) == expected
    assert msgspec.json.decode(msgspec.json.encode(expected), type=Arrivals) == expected


def test_a_replay_takes_the_time_scale() -> None:
    assert parse_arrivals("replay", 0.1) == Replay(0.1)
    with pytest.raises(TrafficError, match="the time scale 0 must be more than 0"):
        parse_arrivals("replay", 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("often", "known are constant:RATE"),
        ("", "known are"),
        ("5:3", "expected poisson:RATE"),
        ("0", "rate 0 must be more than 0"),
        ("poisson:-1", "rate -1 must be more than 0"),
        ("poisson:nan", "is not finite"),
        ("poisson:1e9", "more than 100,000 a second"),
        ("constant:", "rate '' is no number"),
        ("gamma:5", "expected gamma:RATE:BURSTINESS"),
        ("gamma:5:0", "burstiness 0 must be more than 0"),
        ("ramp:1-10", "expected ramp:FROM-TO:DURATION"),
        ("ramp:1:5s", "'1' has no '-'"),
        ("ramp:0-0:5s", "no requests"),
        ("ramp:1-10:0s", "no length of time"),
        ("steps:2x30", "a duration with its unit"),
        ("steps:2x30s,", "'' has no 'x'"),
        ("steps:0x30s", "no step has a rate above 0"),
        ("replay:2", "expected replay"),
    ],
)
def test_wrong_words_are_named(text: str, words: str) -> None:
    with pytest.raises(TrafficError) as caught:
        parse_arrivals(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"arrivals {text}: ")


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_any_words_are_arrivals_or_our_error(text: str) -> None:
    for words in (text, f"steps:{text}", f"ramp:{text}", f"gamma:{text}"):
        try:
            times(parse_arrivals(words), 3, trace=TRACE)
        except TrafficError:
            continue


def test_the_gamma_distribution_has_the_shares_of_the_books() -> None:
    at = np.array([0.0, 1e-6, 0.1, 0.7, 1.0, 3.0, 20.0])
    assert regularised_gamma(1, at) == pytest.approx(1 - np.exp(-at), abs=1e-12)
    erf = [math.erf(math.sqrt(x)) for x in at]
    assert regularised_gamma(0.5, at) == pytest.approx(erf, abs=1e-12)
    assert regularised_gamma(2, at) == pytest.approx(1 - np.exp(-at) * (1 + at), abs=1e-12)
    # P(10, x) is the chance of ten events or more of a Poisson variable with mean x
    tail = 1 - sum(math.exp(-10) * 10**k / math.factorial(k) for k in range(10))
    assert regularised_gamma(10, np.array([10.0])) == pytest.approx([tail], abs=1e-12)


def test_a_distance_by_hand() -> None:
    # shares of exp(1) below 0.1, 0.5 and 2: 0.0952, 0.3935, 0.8647; the largest step is 2/3 - 0.3935
    gaps = np.array([0.5, 2.0, 0.1])
    assert ks_distance(gaps, 1.0) == pytest.approx(2 / 3 - (1 - math.exp(-0.5)))
    assert ks_distance(gaps, 1.0, shortest=1.0) == pytest.approx(1 - math.exp(-2) - 2 / 3)


@pytest.mark.parametrize(
    "arrivals",
    [
        Constant(20),
        Poisson(20),
        Gamma(20, 0.1),
        Gamma(20, 5),
        Ramp(5, 50, 20),
        Steps((Step(2, 10), Step(40, 10))),
        Replay(),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_is_sent_within_half_a_millisecond_is_what_was_asked(arrivals: Arrivals) -> None:
    trace = Traffic(times(Gamma(10, 0.2), 400), np.ones(400, int), np.ones(400, int), "t")
    sound = 0
    for seed in range(20):
        due = times(arrivals, 400, seed=seed, trace=trace)
        late = np.random.default_rng(seed).uniform(0, 0.0005, 400)
        found = fit(arrivals, due, due + late)
        sound += as_asked(found)
    assert sound >= 19


def as_asked(found: Fit) -> bool:
    off = abs(found.rate - found.rate_due)
    return off <= RATE_TOLERANCE * found.rate_due and found.distance <= found.critical


def test_a_late_client_is_found_out() -> None:
    due = times(Poisson(50), 500, seed=1)
    # one that cannot send more often than every 15 ms
    sent = [due[0]]
    for at in due[1:]:
        sent.append(max(at, sent[-1] + 0.015))
    found = fit(Poisson(50), due, np.array(sent))
    assert found.distance > found.critical == pytest.approx(1.358 / math.sqrt(499))
    assert found.cv_due == 1
    assert found.cv < 0.8


@pytest.mark.parametrize(
    ("asked", "delivered"),
    [
        (Poisson(10), Gamma(10, 0.3)),
        (Poisson(10), Constant(10)),
        (Poisson(10), Poisson(8)),
        (Gamma(10, 0.2), Poisson(10)),
        (Ramp(1, 19, 50), Poisson(10)),
        (Constant(10), Gamma(10, 0.2)),
    ],
    ids=str,
)
def test_another_distribution_is_found_out(asked: Arrivals, delivered: Arrivals) -> None:
    found = fit(asked, times(asked, 500, seed=1), times(delivered, 500, seed=2))
    assert not as_asked(found)


def test_a_few_requests_tell_nothing() -> None:
    found = fit(Poisson(5), np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    assert not found.enough
    assert (found.rate_due, found.rate) == (1, 0.5)
    empty = fit(Poisson(5), np.array([]), np.array([]))
    assert (empty.count, empty.rate, empty.enough) == (0, 0, False)
