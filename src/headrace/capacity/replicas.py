"""How many replicas: for a rate, or for recorded traffic with what a cold start means for it.

A replica is a server that takes `capacity` requests a second within its SLO (`steady.py`); a fleet
of n is one that takes n times as many, since nothing is bound to a replica before it has room. What
comes faster waits, at most `wait` seconds for 95 of 100 requests. When to start more is in
`threshold.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.traffic.traffic import Traffic

KEPT = 0.95
"""Of the requests, those that wait no longer than allowed."""
BUSY_WINDOWS = 2.326
"""Standard deviations above the mean that 1 of 100 Poisson counts exceeds."""
STEP = 15.0
"""Seconds between two looks of the HPA."""
HOLD = 300.0
"""Seconds that the HPA keeps what it once thought necessary (its downscale window)."""

Values = npt.NDArray[np.float64]


SCRAPE = 15.0
"""Seconds between two looks of Prometheus at a page."""


@dataclass(frozen=True)
class Reaction:
    """Seconds from a change in the load to a replica that helps: `notice`, then a cold start.

    `notice` is a scrape (15 s) and a sync of the HPA (15 s), both at their worst.
    """

    cold_start: float
    notice: float = 30.0

    @property
    def delay(self) -> float:
        """Both together."""
        return self.notice + self.cold_start


@dataclass(frozen=True)
class Replicas:
    """From `floor` warm ones to `most`; `mean` is what scaling between them would have paid.

    With floor = most scaling buys nothing. `why` are sentences with their figures.
    """

    floor: int
    most: int
    mean: float
    why: tuple[str, ...]


def for_rate(
    rate: float, capacity: float, wait: float, reaction: Reaction, growth: float = 0.0
) -> Replicas:
    """Return the replicas for `rate` requests a second that come at random (Poisson).

    Enough that 95 % wait at most `wait` seconds (the M/M/1 tail rho * exp(-(n*mu - rate) * wait),
    an upper bound for a server as even as this one) while the rate has already grown by `growth`
    and the replicas asked for are still starting. A rate that does not change leaves nothing to
    scale: floor and most are the same.
    """
    _check(capacity, wait)
    peak = rate + growth
    count = max(1, math.ceil(peak / capacity))
    while _late(peak, count * capacity, wait) > 1 - KEPT:
        count += 1
    expected = peak * reaction.delay
    busy = expected + BUSY_WINDOWS * math.sqrt(expected)
    why = (
        (
            f"{peak:.3g} requests/s are {peak / capacity:.2f} replicas of {capacity:.3g};"
            f" with {count}, {_late(peak, count * capacity, wait):.1%} wait over {wait:.3g} s"
        ),
        f"{growth:.3g} of them may be new within {_help(reaction)}; in it {busy:,.0f} come at most",
        "a rate alone does not say how quiet it gets: give a trace to see what scaling would save",
    )
    return Replicas(count, count, float(count), why)


def for_traffic(traffic: Traffic, capacity: float, wait: float, reaction: Reaction) -> Replicas:
    """Return the replicas for recorded traffic, found by serving it once for each count.

    `most`: so many, always on, keep 95 % of the requests at or below `wait` seconds. `floor`: with
    that many warm, an autoscaler that follows the rate it saw, `reaction.delay` late, still does.
    """
    _check(capacity, wait)
    most = _smallest(1, _certain(traffic, capacity, wait), _fixed(traffic, capacity, wait))
    floor = _smallest(1, most, _scaled(traffic, capacity, wait, reaction, most))
    running = _running(traffic, capacity, reaction, floor, most)
    mean = float(running.mean())
    return Replicas(floor, most, mean, tuple(_traffic_words(traffic, reaction, floor, most, mean)))


def _traffic_words(
    traffic: Traffic, reaction: Reaction, floor: int, most: int, mean: float
) -> list[str]:
    surge = busiest(traffic, reaction.delay)
    words = [
        f"the mean is {traffic.rate:.3g} requests/s",
        f"at the peak {surge:,} requests come within {_help(reaction)}",
        f"{most} always on keep the wait",
    ]
    if floor == most:
        return [
            *words,
            "scaling buys nothing in this trace: its bursts are over before a cold start is",
        ]
    return [*words, f"{floor} warm are enough when scaling adds the rest: {mean:.2f} on average"]


def _help(reaction: Reaction) -> str:
    return (
        f"the {reaction.delay:g} s that a further replica takes to help"
        f" ({reaction.cold_start:g} s of them cold start)"
    )


def busiest(traffic: Traffic, seconds: float) -> int:
    """Return how many requests came within any `seconds` at most."""
    ends = np.searchsorted(traffic.arrivals, traffic.arrivals + seconds, side="right")
    return int((ends - np.arange(traffic.count)).max())


def growth(traffic: Traffic, seconds: float) -> float:
    """Return by how many requests a second the rate grew at most from `seconds` to the next.

    Windows before the first request are not known and count as none.
    """
    edges = np.arange(0.0, traffic.duration + seconds, seconds / 4)
    came = np.searchsorted(traffic.arrivals, edges, side="right")
    if len(came) < 9:  # noqa: PLR2004 - two windows of four quarters
        return 0.0
    counts = came[4:] - came[:-4]
    return max(0.0, float((counts[4:] - counts[:-4]).max()) / seconds)


def _check(capacity: float, wait: float) -> None:
    if not capacity > 0:
        raise ValueError(
            f"a replica's capacity is {capacity} requests/s; with none no number of replicas helps:"
            " loosen the SLO or take a faster configuration"
        )
    if not wait > 0:
        raise ValueError(
            f"the wait allowed is {wait} s; it must be above 0: it is what the TTFT of the SLO"
            " leaves beside the prefill"
        )


def _late(rate: float, capacity: float, wait: float) -> float:
    """Return the share of requests that wait longer than `wait` seconds; 1 when overloaded."""
    if rate >= capacity:
        return 1.0 if rate else 0.0
    return rate / capacity * math.exp(-(capacity - rate) * wait)


def _smallest(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest count for which it holds; it holds for `high` and all above the first."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _certain(traffic: Traffic, capacity: float, wait: float) -> int:
    """Return a count that keeps the wait even if all requests came at once."""
    return max(1, math.ceil(traffic.count / (capacity * wait)))


def _fixed(traffic: Traffic, capacity: float, wait: float) -> Callable[[int], bool]:
    steps = _steps(traffic)
    return lambda count: _keeps(traffic, np.full(steps, float(count)) * capacity, wait)


def _scaled(
    traffic: Traffic, capacity: float, wait: float, reaction: Reaction, most: int
) -> Callable[[int], bool]:
    def keeps(floor: int) -> bool:
        running = _running(traffic, capacity, reaction, floor, most)
        return _keeps(traffic, running * capacity, wait)

    return keeps


def _steps(traffic: Traffic) -> int:
    return int(traffic.duration // STEP) + 1


def _running(
    traffic: Traffic, capacity: float, reaction: Reaction, floor: int, most: int
) -> Values:
    """Return the replicas that serve in each step: those wanted a reaction ago, kept for HOLD.

    What is wanted in a step is enough for the rate of the minute before it.
    """
    counts, _ = np.histogram(traffic.arrivals, np.arange(_steps(traffic) + 1) * STEP)
    minute = np.convolve(counts, np.ones(round(60 / STEP)))[: len(counts)] / 60
    wanted = np.ceil(minute / capacity)
    late, kept = math.ceil(reaction.delay / STEP), round(HOLD / STEP)
    before = np.concatenate([np.zeros(late + kept), wanted])
    highest = np.lib.stride_tricks.sliding_window_view(before, kept + 1).max(axis=1)
    running: Values = np.clip(highest[: len(counts)], floor, most)
    return running


def _keeps(traffic: Traffic, service: Values, wait: float) -> bool:
    """Say whether KEPT of the requests wait at most `wait` s, served `service` a second by step."""
    return float(np.quantile(waits(traffic.arrivals, service), KEPT)) <= wait


def waits(arrivals: Values, service: Values) -> Values:
    """Return the seconds that each request waits, first come first served.

    `service` are requests a second in each STEP; the last goes on for ever. With S(t) what could
    have been served by t, the queue that request i meets is X_i - min over j <= i of X_j, where
    X_i = i - S(t_i).
    """
    times = np.arange(len(service) + 1) * STEP
    served = np.concatenate([[0.0], np.cumsum(service) * STEP])
    all_of_them = len(arrivals) + 1.0
    times = np.append(times, times[-1] + all_of_them / service[-1])
    served = np.append(served, served[-1] + all_of_them)
    possible = np.interp(arrivals, times, served)
    excess = np.arange(len(arrivals)) - possible
    queue = excess - np.minimum.accumulate(excess)
    waited: Values = np.maximum(0.0, np.interp(possible + queue, served, times) - arrivals)
    return waited
