"""Thinned lines and points keep the outline of all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.bench.samples import Sample
from headrace.bench.series import binned, distribution, edges, gauge, outline

floats = st.floats(0, 1e4)


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=400), st.integers(10, 100))
def test_an_outline_has_the_extremes(points: list[tuple[float, float]], most: int) -> None:
    at, values = np.array(points).T
    kept = outline(at, values, most)
    assert len(set(kept)) == len(kept) <= max(most, 5)
    assert values[kept].max() == values.max()
    assert values[kept].min() == values.min()


def test_a_single_slow_request_among_thousands_is_drawn() -> None:
    at, values = np.arange(5000.0), np.ones(5000)
    values[3217], values[1111] = 60.0, 0.1
    kept = outline(at, values, 200)
    assert {3217, 1111} <= set(kept.tolist())
    assert len(kept) <= 200


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=50), st.integers(1, 20))
def test_bins_hold_every_value_once(points: list[tuple[float, float]], bins: int) -> None:
    at, values = np.array(points).T
    bounds = edges(float(at.min()), float(at.max()), most=bins)
    counts = binned(at, values, bounds, lambda some: float(len(some)))
    assert np.nansum(counts) == len(points)


def test_bins_by_hand() -> None:
    at, values = np.array([0.0, 1.0, 3.9, 4.0]), np.array([1.0, 3.0, 5.0, 7.0])
    found = binned(at, values, np.array([0.0, 2.0, 3.0, 4.0]), lambda some: float(some.mean()))
    assert found[0] == 2.0
    assert np.isnan(found[1])
    assert found[2] == 6.0


def test_a_distribution_goes_from_least_to_most() -> None:
    values, shares = distribution(np.arange(10_000.0))
    assert len(values) <= 300
    assert (values[0], values[-1], shares[0], shares[-1]) == (0, 9999, 0, 1)


def test_gauges_of_several_engines_are_added_and_the_fullest_counts() -> None:
    samples = [
        Sample(at=at, source=source, values={"running": value, "kv_usage": value / 10})
        for at, source, value in (
            (0.1, "engine:a", 2.0),
            (0.2, "engine:b", 3.0),
            (1.5, "engine:a", 4.0),
        )
    ]
    bounds = np.array([0.0, 1.0, 2.0, 3.0])
    assert gauge(samples, "running", bounds).tolist()[:2] == [5.0, 4.0]
    assert np.isnan(gauge(samples, "running", bounds)[2])
    assert gauge(samples, "kv_usage", bounds, worst=True).tolist()[:2] == [0.3, 0.4]
    assert np.isnan(gauge(samples, "waiting", bounds)).all()
