"""Repeats: when a difference is larger than the noise, and in which order variants are measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.experiments.repeats import contrast
from headrace.experiments.turns import grouped, turns
from headrace.experiments.words import changed, number, percent, seconds


def test_two_repeats_of_each_tell_a_difference_of_four_times() -> None:
    # By hand: ln 7.23 - ln 4.79 = 0.412, so variances 0.0848 and 0.00002, pooled 0.0424 with two
    # degrees of freedom; se = sqrt(0.0424), t = 4.30: a factor of exp(0.886) = 2.43 is chance.
    found = contrast([1.43, 1.42], [7.23, 4.79])
    assert found.share == pytest.approx(3.22, abs=0.01)
    assert found.noise_share == pytest.approx(1.43, abs=0.01)
    assert found.certain
    assert not contrast([5.69, 5.61], [7.23, 4.79]).certain


def test_a_fall_is_held_against_how_far_chance_goes_down() -> None:
    # The same factor of 2.43 the other way: -59 %.
    found = contrast([7.23, 4.79], [1.43, 1.42])
    assert found.noise_share == pytest.approx(1 - 1 / 2.43, abs=0.01)
    assert found.certain


def test_scores_that_may_be_zero_are_compared_as_they_are() -> None:
    # Variances 1 of three values each: se = sqrt(2/3), freedom 4, t 2.78.
    found = contrast([-1.0, 0.0, 1.0], [2.0, 3.0, 4.0])
    assert found.noise == pytest.approx(2.78 * math.sqrt(2 / 3))
    assert found.certain


def test_close_repeats_make_a_small_difference_certain() -> None:
    found = contrast([99.0, 100.0, 101.0], [102.0, 103.0, 104.0])
    assert found.noise == pytest.approx(2.78 * math.sqrt(2 / 3), rel=0.03)  # ln x is x / 100 here
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
