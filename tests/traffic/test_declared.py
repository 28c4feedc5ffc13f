"""Declared traffic has exactly the figures that were declared, each time the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.traffic.declared import declare
from headrace.traffic.errors import TrafficError
from headrace.traffic.lengths import summarise


@given(
    prompt=st.tuples(st.integers(1, 100_000), st.integers(1, 100)),
    output=st.tuples(st.integers(1, 10_000), st.integers(1, 100)),
    rate=st.floats(0.001, 1000),
    hundreds=st.integers(1, 30),
    seed=st.integers(0, 2**31),
)
def test_quantiles_and_rate_are_those_declared(
    prompt: tuple[int, int], output: tuple[int, int], rate: float, hundreds: int, seed: int
) -> None:
    wanted = (prompt[0], prompt[0] * prompt[1], output[0], output[0] * output[1])
    found = summarise(declare(rate, *wanted, count=100 * hundreds, seed=seed))
    assert (found.prompt.p50, found.prompt.p99, found.output.p50, found.output.p99) == wanted
    assert found.rate == pytest.approx(rate)
    assert found.count == 100 * hundreds


def test_other_quantiles_are_those_of_a_log_normal() -> None:
    # z(0.9) / z(0.99) = 1.2816 / 2.3263: p90 = 1000 * 4 ** 0.5509
    found = summarise(declare(5, 1000, 4000, 200, 200))
    assert found.prompt.p90 == pytest.approx(1000 * 4**0.5509, rel=0.001)
    # the mean of a log-normal is p50 * exp(sigma ** 2 / 2), less a tail that no request reaches
    sigma = math.log(4) / 2.3263
    assert found.prompt.mean == pytest.approx(1000 * math.exp(sigma**2 / 2), rel=0.005)
    assert found.output.p90 == found.output.longest == 200


def test_the_same_arguments_give_the_same_traffic() -> None:
    one, same, other = (declare(2, 100, 900, 10, 90, seed=seed) for seed in (7, 7, 8))
    assert (one.arrivals == same.arrivals).all()
    assert (one.prompts == same.prompts).all()
    assert (one.outputs == same.outputs).all()
    assert (one.prompts != other.prompts).any()
    assert sorted(one.prompts) == sorted(other.prompts)


@pytest.mark.parametrize(("burstiness", "cv"), [(1, 1), (0.25, 2), (100, 0.1)])
def test_gaps_are_as_uneven_as_declared(burstiness: float, cv: float) -> None:
    found = summarise(declare(10, 1, 1, 1, 1, count=20_000, burstiness=burstiness))
    assert found.cv == pytest.approx(cv, rel=0.05)


def test_arrivals_begin_at_zero_and_rise() -> None:
    arrivals = declare(3, 5, 50, 5, 50).arrivals
    assert arrivals[0] == 0
    assert (np.diff(arrivals) >= 0).all()


def test_prompts_answers_and_times_are_independent() -> None:
    traffic = declare(3, 100, 900, 100, 900, count=10_000)
    assert abs(np.corrcoef(traffic.prompts, traffic.arrivals)[0, 1]) < 0.05
    assert abs(np.corrcoef(traffic.outputs, traffic.arrivals)[0, 1]) < 0.05
    assert abs(np.corrcoef(traffic.prompts, traffic.outputs)[0, 1]) < 0.05


@pytest.mark.parametrize("count", [1, 2])
def test_few_requests(count: int) -> None:
    traffic = declare(4, 10, 20, 10, 20, count=count)
    assert traffic.count == count
    assert traffic.rate == (0 if count == 1 else 4)


def test_what_was_assumed_is_said() -> None:
    notes = "; ".join(declare(1, 10, 20, 5, 8, burstiness=0.5).notes)
    assert "gamma" in notes
    assert "p50 10, p99 20" in notes
    assert "p50 5, p99 8" in notes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rate": 0.0}, "rate 0.0"),
        ({"rate": math.nan}, "rate nan"),
        ({"rate": -1.0}, "rate -1.0"),
        ({"count": 0}, "count 0"),
        ({"count": 10**9}, "count 1,000,000,000"),
        ({"burstiness": 0.0}, "burstiness 0.0"),
        ({"prompt_p50": 0}, "prompt p50 0"),
        ({"prompt_p99": 9}, "prompt p50 10 and p99 9"),
        ({"output_p50": 30}, "output p50 30 and p99 20"),
        ({"output_p99": 10**10}, "output p50 10 and p99 10,000,000,000"),
    ],
)
def test_figures_that_describe_no_traffic(arguments: dict[str, float], says: str) -> None:
    given: dict[str, float] = {
        "rate": 1.0, "prompt_p50": 10, "prompt_p99": 20, "output_p50": 10, "output_p99": 20,
    }  # fmt: skip
    with pytest.raises(TrafficError, match=says):
        declare(**(given | arguments))  # type: ignore[arg-type]
