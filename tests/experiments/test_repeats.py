"""Repeats: when a difference is larger than the noise, and in which order variants are measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.experiments.repeats import _t95, contrast
from headrace.experiments.turns import grouped, turns
from headrace.experiments.words import changed, number, percent, seconds


def test_the_noise_is_that_of_welchs_test() -> None:
    # By hand: variances 2 and 8 of two values each, so se = sqrt(1 + 4); freedom = 25 / 17 = 1.47,
    # where Student's t is 6.19 (its density integrated numerically).
    found = contrast([10.0, 12.0], [20.0, 24.0])
    assert (found.before, found.after, found.change) == (11, 22, 11)
    assert found.noise == pytest.approx(6.19 * math.sqrt(5), rel=0.03)
    assert not found.certain
    assert found.share == 1


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.71), (1.2, 8.65), (1.8, 4.79), (2.5, 3.57), (17, 2.11), (100, 1.98)],
)
def test_quantiles_between_the_tables_are_students(freedom: float, quantile: float) -> None:
    # Expected by numerical integration of the density.
    assert _t95(freedom) == pytest.approx(quantile, rel=0.03)


def test_close_repeats_make_a_small_difference_certain() -> None:
    # Variances 1 of three values each: se = sqrt(2/3), freedom 4, t 2.78.
    found = contrast([99.0, 100.0, 101.0], [102.0, 103.0, 104.0])
    assert found.noise == pytest.approx(2.78 * math.sqrt(2 / 3))
    assert found.certain


def test_a_variant_that_was_measured_once_is_never_certain() -> None:
    found = contrast([1.0], [100.0, 100.0])
    assert math.isinf(found.noise)
    assert not found.certain
    with pytest.raises(ValueError, match="each variant"):
        contrast([], [1.0])


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=8))
def test_a_variant_does_not_differ_from_itself(values: list[float]) -> None:
    assert not contrast(values, values).certain


def test_variants_come_in_turns_and_neighbours_share_a_copy() -> None:
    order = list(turns("ab", 3))
    assert order == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
    assert list(grouped(order)) == [("a", [0]), ("b", [0, 1]), ("a", [1, 2]), ("b", [2])]
    assert list(grouped([])) == []


def test_figures_are_written_with_three_digits() -> None:
    assert [number(x) for x in (0.01234, 12.345, 1234.6, None, math.inf)] == [
        "0.0123", "12.3", "1,235", "-", "-",
    ]  # fmt: skip
    assert [percent(x) for x in (0.5, 0.012, -0.3, None)] == ["50 %", "1.2 %", "-30 %", "-"]
    assert percent(0.5, signed=True) == "+50 %"
    assert [seconds(x) for x in (0.0123, 2.5, 660, 9000, None)] == [
        "12.3 ms", "2.5 s", "11 min", "2.5 h", "-",
    ]  # fmt: skip


def test_a_change_says_whether_it_is_within_the_noise() -> None:
    assert changed(contrast([100, 100], [150, 150]), "tokens/s") == "100 -> 150 tokens/s (+50 %)"
    assert changed(contrast([100], [150])) == "100 -> 150 (+50 %, measured once)"
    assert "within the noise of ±" in changed(contrast([100, 110], [104, 112]))
