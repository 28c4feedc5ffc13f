"""How many requests were in flight at once, from when each was sent to when it was over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import msgspec

from headrace.bench.answers import Answer

POINTS = 120
"""How many points the kept series has at most."""


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in flight: the most, the mean over the time, and a series.

    `series` has pairs of seconds (from the run's beginning) and the most in flight until the next.
    """

    peak: int
    mean: float
    series: list[tuple[float, int]]


def flight(answers: Sequence[Answer]) -> Flight:
    """Return how many were in flight; failed ones too, as long as they lasted."""
    made = steps(answers)
    if not made:
        return Flight(peak=0, mean=0.0, series=[])
    lasted = made[-1][0] - made[0][0]
    area = sum(max(one.e2e, 0.0) for one in answers)
    return Flight(
        peak=max(count for _, count in made),
        mean=area / lasted if lasted > 0 else 0.0,
        series=thinned(made),
    )


def steps(answers: Sequence[Answer]) -> list[tuple[float, int]]:
    """Return when the number changed, and to what.

    One that ends at the moment another is sent is over by then: a closed loop of 8 has 8 in flight.
    """
    ends = [(max(one.ended, one.sent), -1) for one in answers]
    changes = sorted([*ends, *((one.sent, 1) for one in answers)])
    counts = accumulate(change for _, change in changes)
    return [(at, count) for (at, _), count in zip(changes, counts, strict=True)]


def thinned(made: Sequence[tuple[float, int]], points: int = POINTS) -> list[tuple[float, int]]:
    """Return at most `points` pairs: the most in flight in each of so many equal times.

    Times in which nothing changed are as the last pair before says.
    """
    start, lasted = made[0][0], made[-1][0] - made[0][0]
    width = lasted / points or 1.0
    series: dict[int, int] = {}
    for at, count in made:
        place = min(int((at - start) / width), points - 1)
        series[place] = max(series.get(place, 0), count)
        if place + 1 < points:
            series[place + 1] = count  # what is left; nothing may change for a while
    return [(start + place * width, most) for place, most in sorted(series.items())]
