"""Points and lines of a run made few enough to draw, without hiding what matters.

Where many requests fall on one place of a plot, the slowest and the fastest of them are kept, so
the plot's outline is that of all; a line over time has one value for each of so many equal times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from headrace.bench.samples import Sample

Values = npt.NDArray[np.float64]
BINS = 200
"""Times that a line is cut into."""
STEPS = 300
"""Points of a distribution."""


def binned(at: Values, values: Values, edges: Values, figure: Callable[[Values], float]) -> Values:
    """Return a figure of the values between each two edges; NaN where there are none."""
    place = np.searchsorted(edges, at, side="right") - 1
    place[at == edges[-1]] = len(edges) - 2  # the last bin has both its edges
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(len(edges)))
    found = np.full(len(edges) - 1, np.nan)
    for number in range(len(found)):
        some = values[order[bounds[number] : bounds[number + 1]]]
        if len(some):
            found[number] = figure(some)
    return found


def edges(start: float, end: float, width: float = 0.0, most: int = BINS) -> Values:
    """Return the edges of equal times, each at least `width` seconds wide."""
    lasted = max(end - start, 1e-9)
    count = max(1, min(most, int(lasted / width) if width else most))
    return np.linspace(start, max(end, start + lasted), count + 1)


def gauge(samples: Sequence[Sample], name: str, at: Values, *, worst: bool = False) -> Values:
    """Return a gauge of several engines between each two edges: the sum of means, or the worst."""
    lines = []
    for source in sorted({one.source for one in samples}):
        seen = [
            (one.at, one.values[name])
            for one in samples
            if one.source == source and name in one.values and at[0] <= one.at <= at[-1]
        ]
        if seen:
            times, values = np.array(seen, np.float64).T
            lines.append(binned(times, values, at, lambda some: float(some.mean())))
    if not lines:
        return np.full(len(at) - 1, np.nan)
    stacked = np.array(lines)
    nothing = np.isnan(stacked).all(axis=0)
    found = (
        np.nanmax(np.where(nothing, 0, stacked), axis=0) if worst else np.nansum(stacked, axis=0)
    )
    return np.where(nothing, np.nan, found)


def middles(at: Values) -> Values:
    """Return the middle between each two edges."""
    return (at[:-1] + at[1:]) / 2


def distribution(values: Values) -> tuple[Values, Values]:
    """Return values and the share of all that are at most as large; few points, ends included."""
    shares = np.linspace(0, 1, min(len(values), STEPS))
    return np.quantile(values, shares), shares


def outline(at: Values, values: Values, most: int) -> npt.NDArray[np.int64]:
    """Return places of at most `most` points, in order: of each time the extremes and some others.

    All of them where there are no more.
    """
    if len(at) <= most:
        return np.arange(len(at))
    bins = np.array_split(np.argsort(at, kind="stable"), max(1, most // 5))
    kept: set[int] = set()
    for some in filter(len, bins):
        kept |= {int(some[values[some].argmin()]), int(some[values[some].argmax()])}
        kept |= {int(one) for one in some[:: max(1, len(some) // 3)][:3]}
    return np.array(sorted(kept))
