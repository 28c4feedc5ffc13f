"""The arithmetic of the benchmark, apart from it so that it can be checked by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.messages import Quantiles


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that covers `percent` of a sample.

    The sample is sorted; ValueError if it is empty.
    """
    if not ordered:
        raise ValueError("a percentile of an empty sample was asked for")
    # Rounded first: 99.9 / 100 * 1000 is a hair above 999 in binary and would skip a rank.
    rank = math.ceil(round(percent * len(ordered) / 100, 9))
    return ordered[max(rank, 1) - 1]


def quantiles(sample: Sequence[float]) -> Quantiles:
    """Return the sample in short; of an empty one, zeros with count 0."""
    if not sample:
        return Quantiles()
    ordered = sorted(sample)
    p50, p99, p999 = (percentile(ordered, percent) for percent in (50, 99, 99.9))
    return Quantiles(len(ordered), p50, p99, p999, ordered[-1])


@dataclass(frozen=True)
class Repeats:
    """One figure, measured several times."""

    values: tuple[float, ...]
    late: bool = False
    """The load was late in all of them: they may show the load's hitches as well as the proxy's."""

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """Largest less smallest value."""
        return max(self.values) - min(self.values)


def inconclusive(one: Repeats, other: Repeats) -> bool:
    """Say whether two figures differ by no more than either did between its repeats.

    One repeat tells nothing about that, so it is inconclusive, and so is what a late load measured.
    """
    if one.late or other.late or min(len(one.values), len(other.values)) < 2:
        return True
    return abs(one.median - other.median) <= max(one.spread, other.spread)


def paired_differences(
    ours: dict[int, float], base: dict[int, float], *, late: bool = False
) -> Repeats | None:
    """Subtract, repeat by repeat, a baseline measured in the same repeat, if there are any."""
    shared = tuple(ours[repeat] - base[repeat] for repeat in sorted(ours.keys() & base.keys()))
    return Repeats(shared, late) if shared else None
