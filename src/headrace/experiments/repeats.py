"""Whether two variants differ by more than repeats of the same do.

Each variant is measured several times, in turns (A B A B), so that a machine that warms up or gets
busy is no difference between them. Means of repeats are compared by Student's t test, which takes
repeats of both to scatter alike, in relation to their size: of two repeats each Welch's test, which
does not, would know one degree of freedom and hardly ever be certain. What a single run can tell of
its own chance is `evidence/difference.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

_T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
"""Student's t, two-sided 95 %, for 1, 2, … degrees of freedom."""
_T95_ENDLESS = 1.96
"""Where freedom has no end: the normal distribution's."""


@dataclass(frozen=True)
class Contrast:
    """From `before` to `after`, both means of repeats; `noise` is the half width at 95 %.

    `noise` is in the unit of the values and infinite where a variant was measured only once.
    """

    before: float
    after: float
    noise: float

    @property
    def change(self) -> float:
        """`after` - `before`."""
        return self.after - self.before

    @property
    def share(self) -> float:
        """The change as a share of `before`; infinite from 0."""
        if self.before == 0:
            return math.copysign(math.inf, self.change) if self.change else 0.0
        return self.change / self.before

    @property
    def certain(self) -> bool:
        """Whether it is larger than the noise."""
        return abs(self.change) > self.noise

    @property
    def once(self) -> bool:
        """Whether a variant was measured only once, so that nothing is known of the noise."""
        return math.isinf(self.noise)

    @property
    def noise_share(self) -> float:
        """The noise as a share of `before`."""
        return self.noise / abs(self.before) if self.before else math.inf


def contrast(before: Sequence[float], after: Sequence[float]) -> Contrast:
    """Return how two variants differ; ValueError without a value of each.

    Rates and times are compared as ratios, where all of them are positive.
    """
    if not before or not after:
        raise ValueError("a contrast needs a value of each variant")
    first, then = fmean(before), fmean(after)
    if min(len(before), len(after)) < 2:  # noqa: PLR2004 - one value has no spread
        return Contrast(first, then, math.inf)
    if min(*before, *after) <= 0:
        return Contrast(first, then, _half_width(before, after))
    width = _half_width([math.log(one) for one in before], [math.log(one) for one in after])
    return Contrast(first, then, first * abs(math.expm1(math.copysign(width, then - first))))


def whisker(values: Sequence[float]) -> float:
    """Return half the range of repeats, as plots show it; 0 without any."""
    return (max(values) - min(values)) / 2 if values else 0.0


def _half_width(before: Sequence[float], after: Sequence[float]) -> float:
    """Return what chance alone makes of a difference of means, in 95 of 100 cases at most."""
    freedom = len(before) + len(after) - 2
    squares = sum((len(some) - 1) * variance(some) for some in (before, after))
    error = math.sqrt(squares / freedom * (1 / len(before) + 1 / len(after)))
    return (_T95[freedom - 1] if freedom <= len(_T95) else _T95_ENDLESS) * error
