"""When new replicas are worse than old ones, and when there is too little to say so: pure figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.fleet.routes import Slo
from headrace.fleet.types import Rollout
from headrace.gateway.control import ReplicaStats
from headrace.local.rollout_judge import Sample, comparison, failing, pooled, slower

TERMS = Rollout()
NO_SLO = Slo()


def slo(ttft: float | None = None, tpot: float | None = None) -> Slo:
    return Slo.model_construct(ttft=ttft, tpot=tpot)


def test_replicas_are_pooled_by_their_requests() -> None:
    """p95 0.1 s over 30 requests and 0.5 s over 10: (30*0.1 + 10*0.5) / 40 = 0.2 s."""
    stats = [
        ReplicaStats(requests=30, failures=1, ttft_p95=0.1),
        ReplicaStats(requests=10, failures=2, ttft_p95=0.5, tpot_p95=0.02, ejected="too slow"),
        ReplicaStats(),
    ]
    assert pooled(stats) == Sample(40, 3, pytest.approx(0.2), 0.02, "too slow")  # type: ignore[arg-type]
    assert pooled([]) == Sample()


@pytest.mark.parametrize(
    ("new", "old", "bad"),
    [
        (Sample(100, 3), Sample(100, 0), True),  # 3 % over 0 % + 1 %
        (Sample(100, 2), Sample(100, 0), False),  # two are bad luck
        (Sample(300, 3), Sample(300, 0), False),  # 1 % is allowed
        (Sample(10, 3), Sample(100, 40), False),  # the old ones are worse: 40 %
        (Sample(0, 0), Sample(100, 0), False),
        (Sample(3, 3), Sample(0, 0), True),  # nothing old to compare with: all failed
        (Sample(5, 0, ejected="3 failures in a row"), Sample(5, 0), True),
        (Sample(5, 0, ejected="x"), Sample(5, 0, ejected="y"), False),  # all are suspect
    ],
)
def test_failures(new: Sample, old: Sample, *, bad: bool) -> None:
    assert bool(failing(new, old, TERMS)) is bad


@pytest.mark.parametrize(
    ("new", "old", "promised", "expected"),
    [
        (0.31, 0.2, NO_SLO, "TTFT p95 0.31 s is over 1.5 times the old 0.2 s (rollout.slower)"),
        (0.30, 0.2, NO_SLO, ""),  # 1.5 times is allowed
        (0.31, 0.2, slo(ttft=0.5), ""),  # slower, yet within the promise
        (0.61, 0.2, slo(ttft=0.5), "the route promises 0.5 s"),
        (0.61, 0.6, slo(ttft=0.5), ""),  # the promise is broken, but not by the change
        (0.31, 0.2, slo(tpot=0.5), "TTFT p95"),  # a promise of something else
        (0.05, 0.01, NO_SLO, ""),  # five times, and 40 ms: a busy machine alone does that
        (0.07, 0.01, NO_SLO, "TTFT p95"),
    ],
)
def test_slowness(new: float, old: float, promised: Slo, expected: str) -> None:
    why = slower(Sample(9, ttft=new), Sample(9, ttft=old), TERMS, promised)
    assert expected in why
    assert bool(why) is bool(expected)


def test_a_millisecond_per_token_is_noise() -> None:
    def why(new: float) -> str:
        return slower(Sample(9, tpot=new), Sample(9, tpot=0.00002), TERMS, NO_SLO)

    assert why(0.001) == ""
    assert why(0.003).startswith("TPOT p95 0.003 s is over")


def test_without_streams_no_speed_is_known() -> None:
    assert comparison(Sample(9), Sample(9)) == "too few streams to compare speeds, no failures"


def test_too_little_traffic_is_said_and_not_judged() -> None:
    few, many = Sample(4, ttft=9.0), Sample(50, ttft=0.1)
    for pair in ((few, many), (many, few)):
        assert slower(*pair, TERMS, NO_SLO) == ""
        assert comparison(*pair).startswith(
            "too little traffic to compare: judged by the known prompt"
        )
    enough = Sample(5, failures=1, ttft=0.31, tpot=0.02)
    assert comparison(enough, Sample(50, ttft=0.29, tpot=0.02)) == (
        "TTFT p95 0.31 s (old 0.29 s), TPOT p95 0.02 s (old 0.02 s), 1 of 5 failed"
    )


SAMPLES = st.builds(
    Sample,
    requests=st.integers(10, 1000),
    failures=st.integers(0, 10),
    ttft=st.none() | st.floats(0.001, 100),
    tpot=st.none() | st.floats(0.001, 100),
)


@given(SAMPLES)
def test_a_new_version_that_does_as_the_old_one_is_never_returned(sample: Sample) -> None:
    assert failing(sample, sample, TERMS) == ""
    assert slower(sample, sample, TERMS, NO_SLO) == ""


@given(SAMPLES, SAMPLES, st.floats(0.001, 100))
def test_a_promise_only_ever_forgives(new: Sample, old: Sample, promise: float) -> None:
    if slower(new, old, TERMS, slo(promise, promise)):
        assert slower(new, old, TERMS, NO_SLO)
