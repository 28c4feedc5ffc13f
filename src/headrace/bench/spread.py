"""How some measured values spread: exact percentiles of all of them, nothing fitted or binned.

Between two values a percentile is interpolated linearly, as `numpy.percentile` does unless told
otherwise, and so vLLM's own benchmark: the figures of both compare.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
_SHOWN = (50, 90, 95, 99)


class Spread(msgspec.Struct, frozen=True, omit_defaults=True):
    """Figures of `count` values, in their unit; None where there is not one.

    A percentile of few values is little more than one of them: `enough` says where that begins.
    """

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


def spread(values: Iterable[float | None]) -> Spread:
    """Return the figures of the values that there are; their order makes no difference."""
    return spread_of(known(values))


def known(values: Iterable[float | None]) -> Values:
    """Return what is not None as an array."""
    return np.fromiter((value for value in values if value is not None), np.float64)


def spread_of(values: Values) -> Spread:
    """Return the figures of an array."""
    if not len(values):
        return Spread()
    ordered = np.sort(values)  # so that the mean, too, is the same in any order
    p50, p90, p95, p99 = (float(one) for one in np.percentile(ordered, _SHOWN))
    return Spread(len(values), float(ordered.mean()), p50, p90, p95, p99, float(ordered[-1]))


def enough(percentile: float, count: int) -> bool:
    """Whether at least ten of `count` values lie beyond a percentile.

    With fewer, one slow request more or less moves it: the p99 of 40 values lies between the two
    largest of them.
    """
    beyond = 10
    return count * (100 - percentile) / 100 >= beyond
