"""The words of a plan about traffic: how long requests are, how fast they come, how unevenly.

All figures are of the requests themselves, nothing is fitted. A quantile is the length of a real
request: the smallest that at least this share of the requests does not exceed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.traffic.traffic import Counts, Seconds, Traffic

MINUTE = 60.0


@dataclass(frozen=True)
class Lengths:
    """Tokens: half of the requests have at most `p50`, all but one in a hundred at most `p99`."""

    mean: float
    p50: int
    p90: int
    p99: int
    longest: int


@dataclass(frozen=True)
class Summary:
    """Traffic in a few figures; `rate` in requests a second, `duration` in seconds.

    `peak` is the busiest minute over the mean minute. `cv` is the standard deviation of the times
    between arrivals over their mean: 1 if they come independently (Poisson), 0 if evenly.
    """

    count: int
    duration: float
    rate: float
    peak: float
    cv: float
    prompt: Lengths
    output: Lengths
    total: Lengths


def summarise(traffic: Traffic) -> Summary:
    """Return the figures of some traffic."""
    return Summary(
        count=traffic.count,
        duration=traffic.duration,
        rate=traffic.rate,
        peak=peak_over_mean(traffic),
        cv=interarrival_cv(traffic.arrivals),
        prompt=lengths(traffic.prompts),
        output=lengths(traffic.outputs),
        total=lengths(traffic.totals),
    )


def length_at(counts: Counts, share: float) -> int:
    """Return the smallest length that at least `share` (0 to 1) of the requests does not exceed."""
    return int(np.quantile(counts, share, method="inverted_cdf"))


def lengths(counts: Counts) -> Lengths:
    """Return the quantiles that plans speak of."""
    p50, p90, p99 = (length_at(counts, share) for share in (0.5, 0.9, 0.99))
    return Lengths(float(counts.mean()), p50, p90, p99, int(counts.max()))


def peak_over_mean(traffic: Traffic) -> float:
    """Return the requests of the busiest minute over those of the mean minute.

    Minutes count from the first arrival, the last one may be short; 1 for a trace of one minute.
    """
    minutes = ((traffic.arrivals - traffic.arrivals[0]) // MINUTE).astype(np.int64)
    _, found = np.unique(minutes, return_counts=True)
    return float(found.max() / (traffic.count / (minutes[-1] + 1)))


def interarrival_cv(at: Seconds) -> float:
    """Return standard deviation over mean of the times between arrivals; 0 if all came at once."""
    gaps = np.diff(at)
    return float(gaps.std() / gaps.mean()) if len(gaps) and gaps.any() else 0.0
