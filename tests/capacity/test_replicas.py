"""Replica counts worked by hand, and what holds for any load."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.capacity.replicas import (
    Reaction,
    busiest,
    for_rate,
    for_traffic,
    growth,
    waits,
)
from headrace.traffic.traffic import Traffic

MINUTE = Reaction(cold_start=30, notice=30)


def traffic(arrivals: list[float] | np.ndarray) -> Traffic:
    at = np.asarray(arrivals, dtype=float)
    some = np.full(len(at), 100, dtype=np.int64)
    return Traffic(at - at[0], some, some, "made")


def at_rates(*pieces: tuple[float, float]) -> Traffic:
    """Requests at even distances: so many a second, for so many seconds."""
    times, begin = [], 0.0
    for rate, seconds in pieces:
        times.append(begin + np.arange(round(rate * seconds)) / rate)
        begin += seconds
    return traffic(np.concatenate(times))


def test_a_queue_is_served_in_turn() -> None:
    assert waits(np.zeros(3), np.array([1.0])) == pytest.approx([0, 1, 2])
    assert waits(np.array([0.0, 0.0, 1.5]), np.array([1.0])) == pytest.approx([0, 1, 0.5])


def test_help_in_the_next_step_halves_the_rest() -> None:
    # 15 are served in the first 15 s; of the rest the sixth begins after 5 more at 2 a second
    assert waits(np.zeros(25), np.array([1.0, 2.0]))[20] == pytest.approx(15 + 2.5)


def test_a_queue_that_drained_is_forgotten() -> None:
    arrivals = np.array([0.0] * 10 + [20.0] * 2)
    assert waits(arrivals, np.array([1.0, 1.0]))[10:] == pytest.approx([0, 1])


def test_replicas_for_a_rate_by_hand() -> None:
    # 10/s on 4/s: 2.5, but with 3 10/12 * exp(-2 * 1) = 11 % wait longer than 1 s; with 4 it is
    # 10/16 * exp(-6) = 0.2 %
    assert for_rate(10, 4, 1, MINUTE).floor == 4
    # who may wait 10 s needs 3: 10/12 * exp(-20) is nothing
    assert for_rate(10, 4, 10, MINUTE).floor == 3
    # 4/6 * exp(-2 * 1.4) = 4.1 %
    assert for_rate(4, 3, 1.4, MINUTE).floor == 2


def test_what_a_rate_grows_by_during_a_cold_start_is_served_by_warm_replicas() -> None:
    made = for_rate(10, 4, 10, MINUTE, growth=10)
    # 20/s are 5 x 4, all of it; with 6 20/24 * exp(-40)
    assert (made.floor, made.most) == (6, 6)
    # 20 * 60 + 2.326 * sqrt(1200)
    assert "10 of them may be new within the 60 s" in made.why[1]
    assert "in it 1,281 come at most" in made.why[1]


def test_constant_traffic_needs_what_its_rate_does_and_no_scaling() -> None:
    made = for_traffic(at_rates((5, 600)), 2, 1, MINUTE)
    assert (made.floor, made.most) == (3, 3)
    assert "scaling buys nothing" in made.why[-1]


def test_slow_growth_is_left_to_scaling() -> None:
    hour = at_rates(*((rate, 600) for rate in (1, 2, 3, 4, 5, 6)))
    made = for_traffic(hour, 1.5, 30, MINUTE)
    # at the end 6/s need 4 replicas
    assert made.most == 4
    assert made.floor < made.most
    assert made.floor <= made.mean < made.most
    assert "warm are enough" in made.why[-1]


def test_a_late_replica_means_a_higher_floor() -> None:
    # 6/s from one second to the next need 4 replicas of 1.5; for 330 s nobody helps. With 3 the
    # queue grows by 1.5 a second to 495, 110 s of waiting, and much more than 5 % are late
    jump = at_rates((1, 600), (6, 600))
    assert for_traffic(jump, 1.5, 20, Reaction(cold_start=300)).floor == 4
    assert for_traffic(jump, 1.5, 20, Reaction(cold_start=0, notice=0)).floor < 4


def test_a_burst_that_is_over_before_a_cold_start_must_be_met_by_warm_replicas() -> None:
    quiet, burst = (0.1, 1000), (20, 50)
    made = for_traffic(at_rates(quiet, burst, quiet), 2, 2, Reaction(cold_start=300))
    assert made.floor == made.most
    # 1,000 of 1,200 requests are the burst: 95 % are kept if 940 of them are, n * 2 * (47 + 2) >= 940
    assert made.most == 10
    soon = for_traffic(at_rates((0.1, 1000), (20, 1000)), 2, 20, Reaction(cold_start=1, notice=1))
    assert soon.floor < 10


def test_the_same_burst_over_a_cold_start_that_waits_can_outlast() -> None:
    made = for_traffic(at_rates((0.1, 1000), (20, 50)), 2, 400, Reaction(cold_start=300))
    # 1,005 in 2 a second are 503 s; 940 wait less than 400 s with 2 replicas, 235 s
    assert made.most <= 2


def test_all_at_once_is_served_within_the_wait() -> None:
    # the 95th of 100 waits 94 / (n * 1) <= 10: n = 10
    assert for_traffic(traffic([0.0] * 100), 1, 10, MINUTE).most == 10


def test_busiest_window_and_growth() -> None:
    made = at_rates((1, 600), (3, 600))
    assert busiest(made, 100) == 301  # both ends count
    assert growth(made, 100) == pytest.approx(2, abs=0.05)
    assert growth(at_rates((1, 600)), 100) == pytest.approx(0, abs=0.02)
    assert growth(traffic([0.0, 1.0]), 100) == 0


@pytest.mark.parametrize(("capacity", "wait"), [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_what_no_count_can_serve_is_said(capacity: float, wait: float) -> None:
    with pytest.raises(ValueError, match=r"must be above 0|no number of replicas"):
        for_rate(1, capacity, wait, MINUTE)
    with pytest.raises(ValueError, match=r"must be above 0|no number of replicas"):
        for_traffic(traffic([0.0, 1.0]), capacity, wait, MINUTE)


@given(
    st.floats(0, 500), st.floats(0, 500), st.floats(0.1, 50), st.floats(0.05, 60), st.floats(1, 600)
)
def test_a_higher_rate_never_needs_fewer(
    one: float, other: float, capacity: float, wait: float, cold: float
) -> None:
    low, high = sorted((one, other))
    reaction = Reaction(cold)
    assert (
        for_rate(low, capacity, wait, reaction).most
        <= for_rate(high, capacity, wait, reaction).most
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 2000), min_size=2, max_size=60), st.floats(0.05, 2), st.floats(1, 60))
def test_the_floor_is_enough_and_one_less_is_not(
    times: list[float], capacity: float, wait: float
) -> None:
    made = traffic(sorted(times))
    found = for_traffic(made, capacity, wait, MINUTE)
    assert 1 <= found.floor <= found.mean + 1e-9 <= found.most + 1e-9
    steps = int(made.duration // 15) + 1

    def late(count: int) -> float:
        return float(np.quantile(waits(made.arrivals, np.full(steps, count * capacity)), 0.95))

    assert late(found.most) <= wait
    assert found.most == 1 or late(found.most - 1) > wait
