"""Whether requests came as they were to come: rate, evenness, and a Kolmogorov-Smirnov distance.

A generator that is late, or whose clock is coarse, offers another load than it was asked for, and
the server is then measured at that one. Random arrivals are tested by their gaps against the
distribution that was asked for; where the rate changes, by how many requests were expected in each
gap, which are then exponential (time rescaling, Daley and Vere-Jones, 7.4). Constant arrivals and
replays have a schedule instead of a distribution, and are compared with that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headrace.traffic.arrivals import Arrivals, Constant, Gamma, Poisson, Replay, progress
from headrace.traffic.incomplete_gamma import regularised_gamma
from headrace.traffic.lengths import interarrival_cv
from headrace.traffic.traffic import Seconds

FEWEST = 8
"""Gaps that say something about a distribution."""
RATE_TOLERANCE = 0.05
"""Of the rate, as a share of the one that was due."""
RESOLUTION = 0.001
"""Seconds: a client cannot place a request better than that, so shorter gaps count as equal."""
_KS_5_PERCENT = 1.358
"""The limit of the Kolmogorov-Smirnov statistic times sqrt(n) at 5 %."""


@dataclass(frozen=True)
class Fit:
    """How delivered arrivals compare with those that were asked for.

    `rate_due` and `rate` in requests a second, from the first to the last; `cv_due` and `cv` are
    the gaps' standard deviations over their means (of a constant rate or a fixed distribution what
    was asked, else of the schedule). `distance` is the largest difference between two cumulative
    shares, which stays below `critical` in 95 % of the runs that follow the distribution.
    """

    count: int
    rate_due: float
    rate: float
    cv_due: float
    cv: float
    distance: float
    critical: float

    @property
    def enough(self) -> bool:
        """Whether there were enough requests to tell."""
        return self.count > FEWEST


def fit(arrivals: Arrivals, due: Seconds, sent: Seconds) -> Fit:
    """Compare when requests were sent with when they should have come by these arrivals.

    `due` and `sent` are seconds from the run's beginning, one of each for every request that was
    sent for its time (not the later turns of a session, which wait for an answer).
    """
    due, sent = np.sort(due), np.sort(sent)
    if len(sent) <= FEWEST:
        return Fit(
            len(sent), rate(due), rate(sent), interarrival_cv(due), interarrival_cv(sent), 0.0, 1.0
        )
    critical = _KS_5_PERCENT / math.sqrt(len(sent) - 1)
    asked = _asked_cv(arrivals)
    return Fit(
        count=len(sent),
        rate_due=rate(due),
        rate=rate(sent),
        cv_due=interarrival_cv(due) if asked is None else asked,
        cv=interarrival_cv(sent),
        distance=_distance(arrivals, due, sent),
        critical=critical,
    )


def rate(at: Seconds) -> float:
    """Return requests a second from the first to the last; 0 where they all came at once."""
    span = float(at[-1] - at[0]) if len(at) else 0.0
    return (len(at) - 1) / span if span else 0.0


def _asked_cv(arrivals: Arrivals) -> float | None:
    """Return the CV of the gaps' distribution; None where only the schedule has one."""
    match arrivals:
        case Constant():
            return 0.0
        case Poisson():
            return 1.0
        case Gamma(_, burstiness):
            return 1 / math.sqrt(burstiness)
    return None


def _distance(arrivals: Arrivals, due: Seconds, sent: Seconds) -> float:
    if isinstance(arrivals, Constant | Replay):
        # Of evenly spread requests this is the distance of the shares that have come by any time.
        span = float(due[-1] - due[0])
        return float(np.abs(sent - due).max()) / span if span else 0.0
    gaps = np.diff(progress(arrivals, sent))
    shape = arrivals.burstiness if isinstance(arrivals, Gamma) else 1.0
    shortest = RESOLUTION * len(gaps) / max(float(sent[-1] - sent[0]), RESOLUTION)
    return ks_distance(gaps, shape, shortest)


def ks_distance(gaps: Seconds, shape: float, shortest: float = 0.0) -> float:
    """Return the largest difference to a gamma distribution of mean 1, beyond `shortest`."""
    ordered = np.sort(gaps)
    wanted = regularised_gamma(shape, ordered * shape)
    n = len(ordered)
    above = np.arange(1, n + 1) / n - wanted
    below = wanted - np.arange(n) / n
    seen = ordered >= shortest
    return float(max(above[seen].max(initial=0.0), below[seen].max(initial=0.0)))
