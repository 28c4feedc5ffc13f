"""A difference is told from chance: equal series seldom differ, unequal ones do, and by how much."""

import numpy as np
import pytest

from headrace.evidence.difference import Difference, block, difference, mean, percentile


def normal(count: int, seed: int, centre: float = 10.0) -> list[float]:
    return [float(one) for one in np.random.default_rng(seed).normal(centre, 1.0, count)]


def alike(count: int, seed: int, share: float) -> list[float]:
    """Values of which each is like its neighbour (an autoregressive series around 10)."""
    steps, found = np.random.default_rng(seed).normal(0, 1, count), 0.0
    values = []
    for step in steps:
        found = share * found + step
        values.append(10.0 + float(found))
    return values


def test_interval_of_the_mean_is_that_of_the_normal_law() -> None:
    """Of 400 and 400 values with deviation 1 around 10 and 9: -10 % +- 1.96 * sqrt(2 / 400) / 10."""
    found = difference(normal(400, 1), normal(400, 2, 9.0), mean)
    assert found.change == pytest.approx(-0.1, abs=0.015)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(2 / 400) / 10, rel=0.25)
    assert found.real


def test_equal_series_differ_as_seldom_as_they_should() -> None:
    wrong = sum(
        difference(normal(100, n), normal(100, 900 + n), percentile(50)).real for n in range(60)
    )
    assert wrong <= 7  # 3 expected; more than 7 of 60 happen once in 50


def test_values_in_a_row_that_are_alike_are_less_evidence() -> None:
    """Drawn one by one, equal series whose neighbours correlate by 0.8 would differ half the time."""
    pairs = [(alike(300, n, 0.8), alike(300, 700 + n, 0.8)) for n in range(40)]
    assert sum(difference(one, other, percentile(50)).real for one, other in pairs) <= 10
    assert block(np.array(normal(300, 3))) <= 2
    assert block(np.array(alike(300, 3, 0.9))) > 10


def test_the_same_series_give_the_same_words() -> None:
    one, other = normal(50, 1), normal(50, 2, 7.0)
    assert difference(one, other, percentile(95)) == difference(one, other, percentile(95))


def test_too_few_values_say_so() -> None:
    found = difference([1.0] * 5, [2.0] * 50, percentile(50))
    assert (found.change, found.low, found.real) == (1.0, None, False)
    assert found.words() == "1 s -> 2 s, +100 % (too few values to tell chance)"


def test_words() -> None:
    found = Difference(before=0.42, after=0.31, change=-0.262, low=-0.31, high=-0.2)
    assert found.words() == "420 ms -> 310 ms, -26 % (95 %: -31 to -20 %)"
    assert Difference(before=0.4, after=0.41, change=0.025, low=-0.031, high=0.08).words() == (
        "400 ms -> 410 ms, +2.5 % (95 %: -3.1 to +8.0 %; may be chance)"
    )
    assert Difference(before=0.0, after=0.31).words() == "0 ms -> 310 ms"
    assert Difference(before=2.0, after=2.0, change=0.0).words() == "2 s both times"


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no values"):
        difference([], [1.0], mean)


def test_a_percentile_that_may_be_zero_has_no_bounds() -> None:
    found = difference([0.0] * 10 + [1.0] * 11, [1.0] * 30, percentile(50))
    assert (found.change, found.low, found.real) == (0.0, None, False)


def test_twenty_thousand_values_are_drawn_in_bounded_memory() -> None:
    found = difference(normal(20_000, 1), normal(20_000, 2, 9.9), percentile(50))
    assert found.real
