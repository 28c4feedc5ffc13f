import pytest
from bench.stats import Repeats, inconclusive, paired_differences, percentile, quantiles
from hypothesis import given
from hypothesis import strategies as st


def test_percentile_is_the_nearest_rank() -> None:
    # The worked example of Wikipedia's "Percentile", nearest-rank method.
    scores = [15, 20, 35, 40, 50]
    assert [percentile(scores, percent) for percent in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]


@pytest.mark.parametrize(
    ("count", "percent", "rank"), [(100, 99, 99), (1000, 99.9, 999), (1001, 99.9, 1000), (1, 50, 1)]
)
def test_percentile_ranks_are_exact(count: int, percent: float, rank: int) -> None:
    assert percentile(range(1, count + 1), percent) == rank


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty sample"):
        percentile([], 50)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(min_value=0, max_value=100))
def test_percentile_covers_its_share(sample: list[float], percent: float) -> None:
    ordered = sorted(sample)
    found = percentile(ordered, percent)
    covered = sum(value <= found for value in ordered)
    assert found in ordered
    assert covered >= percent / 100 * len(ordered) - 1e-6


def test_quantiles_sort_and_count() -> None:
    found = quantiles([3.0, 1.0, 2.0])
    assert (found.count, found.p50, found.p99, found.max) == (3, 2.0, 3.0, 3.0)
    assert quantiles([]).count == 0


def test_median_and_spread() -> None:
    repeats = Repeats((24.0, 20.0, 21.0))
    assert (repeats.median, repeats.spread) == (21.0, 4.0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((10.0, 11.0, 12.0), (20.0, 20.5, 21.0), False),  # 9.5 apart, spread 2
        ((10.0, 11.0, 12.0), (12.0, 13.0, 14.0), True),  # 2 apart, spread 2
        ((10.0, 11.0, 12.0), (13.0, 13.1, 13.2), False),  # 2.1 apart, spread 2
        ((10.0,), (20.0, 20.5, 21.0), True),  # one repeat says nothing about spread
    ],
)
def test_a_difference_inside_the_spread_is_inconclusive(
    one: tuple[float, ...], other: tuple[float, ...], expected: bool
) -> None:
    assert inconclusive(Repeats(one), Repeats(other)) is expected
    assert inconclusive(Repeats(other), Repeats(one)) is expected


def test_what_a_late_load_measured_is_inconclusive() -> None:
    assert inconclusive(Repeats((1.0, 1.0), late=True), Repeats((9.0, 9.0)))


def test_differences_are_taken_within_a_repeat() -> None:
    # Repeat 2 has no baseline and repeat 0 nothing of ours: only repeat 1 and 3 count.
    found = paired_differences({1: 5.0, 2: 9.0, 3: 7.0}, {0: 1.0, 1: 2.0, 3: 3.0})
    assert found == Repeats((3.0, 4.0))
    assert paired_differences({1: 5.0}, {2: 1.0}) is None
