"""Whether two measured figures differ by more than chance: a pure function of two series.

It stands here because evidence, experiments and `bench/versus.py` all compare, and this is the
lowest of their rooms.

A percentile of a run is itself uncertain. How much is told by the bootstrap: the run is drawn again
many times from its own values, and the figure's spread over these draws is its error (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993). Requests that follow each other wait in the
same queue, so they are drawn in blocks as long as their likeness lasts (Künsch 1989); drawn one by
one they would pass for more evidence than they are. What differs from one run to the next (another
start of the engine, a neighbour on the machine) no series can tell: that takes repeated runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from headrace.capacity.words import span

Values = npt.NDArray[np.float64]
Figure = Callable[[Values], Values]
"""From draws, one a row, to a figure of each."""
DRAWS = 2000
FEWEST = 20
"""Values below which nothing is said about chance."""
_SEED = 20260729
_AT_ONCE = 2_000_000
"""Values drawn at once, which bounds the memory."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A figure before and after; `low` and `high` bound the change with 95 % confidence.

    `change`, `low` and `high` are shares of `before`: -0.26 is 26 % less. They are None where
    `before` is 0, the last two also where too few values were there to tell.
    """

    before: float
    after: float
    change: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def real(self) -> bool:
        """Whether the difference is larger than chance would make it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def words(self, write: Callable[[float], str] = span) -> str:
        """Say it: `420 ms -> 310 ms, -26 % (95 %: -31 to -20 %)`; `write` writes the figure."""
        if self.before == self.after:
            return f"{write(self.before)} both times"
        said = f"{write(self.before)} -> {write(self.after)}"
        if self.change is None:
            return said
        said += f", {_percent(self.change)} %"
        if self.low is None or self.high is None:
            return f"{said} (too few values to tell chance)"
        bounds = f"95 %: {_percent(self.low)} to {_percent(self.high)} %"
        return f"{said} ({bounds})" if self.real else f"{said} ({bounds}; may be chance)"


def percentile(share: float) -> Figure:
    """Return the figure that is a percentile (0 to 100), interpolated linearly."""
    return lambda draws: np.asarray(np.percentile(draws, share, axis=-1), np.float64)


def mean(draws: Values) -> Values:
    """Be the figure that is the mean, of ones and zeros a share."""
    return np.asarray(draws.mean(axis=-1), np.float64)


def difference(before: Sequence[float], after: Sequence[float], figure: Figure) -> Difference:
    """Compare a figure of two series, each in the order of time; ValueError if one is empty."""
    series = [np.asarray(values, np.float64) for values in (before, after)]
    if not all(map(len, series)):
        raise ValueError("nothing to compare: a series has no values")
    old, new = (float(figure(values)) for values in series)
    if old == 0:
        return Difference(before=old, after=new)
    if min(map(len, series)) < FEWEST:
        return Difference(before=old, after=new, change=new / old - 1)
    rng = np.random.default_rng(_SEED)
    drawn = [_drawn(values, figure, rng) for values in series]
    low, high = np.percentile(drawn[1] / np.where(drawn[0] == 0, np.nan, drawn[0]), (2.5, 97.5))
    if not math.isfinite(low + high):
        return Difference(before=old, after=new, change=new / old - 1)
    return Difference(
        before=old,
        after=new,
        change=new / old - 1,
        low=float(low) - 1,
        high=float(high) - 1,
    )


def interval(values: Sequence[float], figure: Figure) -> tuple[float, float] | None:
    """Return where a figure of a series lies with 95 % confidence; None of too few values."""
    if len(values) < FEWEST:
        return None
    drawn = _drawn(np.asarray(values, np.float64), figure, np.random.default_rng(_SEED))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def block(values: Values) -> int:
    """Return how many values in a row are drawn together: an eighth of the series at most.

    Twice as many as it takes until values are no more alike than chance makes them; 1 where
    neighbours are not. Of pairs of equal series of 300 values whose neighbours correlate by 0, 0.5
    and 0.9, then 2, 6 and 15 in 100 pass for different, where 5 should.
    """
    centred = values - values.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1
    chance, longest = 2 / math.sqrt(len(values)), max(1, len(values) // 8)
    for lag in range(1, longest):
        if float(centred[:-lag] @ centred[lag:]) / power < chance:
            return 1 if lag == 1 else min(2 * lag, longest)
    return longest


def _drawn(values: Values, figure: Figure, rng: np.random.Generator) -> Values:
    """Return the figure of each draw; a block that runs over the end goes on at the beginning."""
    count, length = len(values), block(values)
    blocks = -(-count // length)
    rows = max(1, _AT_ONCE // count)
    found = []
    for first in range(0, DRAWS, rows):
        starts = rng.integers(count, size=(min(rows, DRAWS - first), blocks, 1))
        places = (starts + np.arange(length)) % count
        found.append(figure(values[places.reshape(len(starts), -1)[:, :count]]))
    return np.concatenate(found)


def _percent(share: float) -> str:
    return f"{100 * share:+.0f}" if abs(share) >= 0.1 else f"{100 * share:+.1f}"  # noqa: PLR2004 - two digits
