"""One meaning of a percentile, with numpy as the peer: for all that shows one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.traffic.quantile import quantile, quantile_of_ascending

SECONDS = st.floats(min_value=0, max_value=1e5)


@given(st.lists(SECONDS, min_size=1, max_size=40), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_numpys(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-6)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([None], 0.5, None),
        ([7.0], 0.95, 7.0),
        ([3.0, None, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.5),
        ([1.0, 2.0], 0.0, 1.0),
        ([1.0, float("inf")], 0.0, 1.0),
        ([1.0, 2.0, float("inf")], 0.5, 2.0),
    ],
)
def test_what_is_not_known_does_not_count(
    values: list[float | None], share: float, expected: float | None
) -> None:
    assert quantile(values, share) == expected


def test_of_no_values_nothing_is_made_up() -> None:
    with pytest.raises(IndexError):
        quantile_of_ascending([], 0.5)
