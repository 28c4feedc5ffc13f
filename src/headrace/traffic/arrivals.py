"""When the requests of an open loop are due, whatever the server does meanwhile.

`arrival_words.py` reads them as people write them, `arrival_fit.py` says whether what was delivered
was what was asked for. As in vLLM's load generator (`benchmarks/serve.py`, `get_request`) the gaps
of n requests are rescaled so that the last comes after n / rate seconds: two runs of one rate offer
the same load, and a short run has the rate that it was asked for. The price is that counts in short
windows vary a little less than those of an endless Poisson process.
"""

from __future__ import annotations

import msgspec
import numpy as np

from headrace.traffic.errors import TrafficError
from headrace.traffic.traffic import Seconds, Traffic

MOST = 1_000_000
"""Requests of one run."""


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """One request every 1 / `rate` seconds, the first at once; `rate` in requests a second."""

    rate: float


class Poisson(msgspec.Struct, frozen=True, tag="poisson"):
    """Independent requests, `rate` a second."""

    rate: float


class Gamma(msgspec.Struct, frozen=True, tag="gamma"):
    """Gaps with shape `burstiness` and scale 1 / (rate * burstiness), as vLLM's load generator.

    1 is Poisson, less comes in bursts; the coefficient of variation is 1 / sqrt(burstiness).
    """

    rate: float
    burstiness: float


class Ramp(msgspec.Struct, frozen=True, tag="ramp"):
    """Independent requests whose rate goes evenly from `start` to `end` in `seconds`.

    A run that is to have more requests than fit goes on at `end`.
    """

    start: float
    end: float
    seconds: float


class Step(msgspec.Struct, frozen=True):
    """A rate in requests a second, and how long it lasts."""

    rate: float
    seconds: float


class Steps(msgspec.Struct, frozen=True, tag="steps"):
    """Independent requests at one rate after the other; more of them go on at the last one."""

    steps: tuple[Step, ...]


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """The times of a recorded trace, multiplied by `scale`: 0.5 plays it twice as fast."""

    scale: float = 1.0


Arrivals = Constant | Poisson | Gamma | Ramp | Steps | Replay


def times(
    arrivals: Arrivals,
    count: int | None = None,
    duration: float | None = None,
    seed: int = 0,
    trace: Traffic | None = None,
) -> Seconds:
    """Return when requests are due, rising, in seconds from the beginning.

    As many as `count`, or as come in `duration` seconds, or the fewer of both; a ramp, steps and a
    replay have an end of their own where neither is given. The same arguments give the same times.
    TrafficError if they describe none.
    """
    if isinstance(arrivals, Replay):
        return _replayed(arrivals, count, duration, trace)
    if duration is None and count is None:
        duration = own_length(arrivals)
    number = _number(arrivals, count, duration)
    due = progress_inverse(arrivals, _progress(arrivals, number, seed))
    if not np.isfinite(due).all():
        raise TrafficError(f"the rate is 0 before {number:,} requests have come")
    return due


def own_length(arrivals: Arrivals) -> float:
    """Return the seconds after which a ramp or steps are over; TrafficError for endless kinds."""
    if isinstance(arrivals, Ramp):
        return arrivals.seconds
    if isinstance(arrivals, Steps):
        return sum(step.seconds for step in arrivals.steps)
    raise TrafficError("a constant rate never ends: say how many requests, or for how long")


def progress(arrivals: Arrivals, at: Seconds) -> Seconds:
    """Return how many requests are expected until each of some times (the integral of the rate)."""
    starts, rates, slopes = _pieces(arrivals)
    done = _expected(starts, rates, slopes)
    piece = np.clip(np.searchsorted(starts, at, side="right") - 1, 0, None)
    since = at - starts[piece]
    return done[piece] + rates[piece] * since + slopes[piece] * since**2 / 2


def progress_inverse(arrivals: Arrivals, wanted: Seconds) -> Seconds:
    """Return the times until which so many requests are expected; the inverse of `progress`."""
    starts, rates, slopes = _pieces(arrivals)
    done = _expected(starts, rates, slopes)
    piece = np.clip(np.searchsorted(done, wanted, side="right") - 1, 0, None)
    more, rate, slope = wanted - done[piece], rates[piece], slopes[piece]
    # The root of rate * t + slope * t² / 2 = more, in the form that is exact for slopes near 0.
    root = np.sqrt(np.maximum(rate**2 + 2 * slope * more, 0))
    with np.errstate(divide="ignore"):  # a rate of 0 to the end: never
        since = np.divide(2 * more, rate + root, out=np.zeros_like(more), where=more > 0)
    return starts[piece] + since


def _pieces(arrivals: Arrivals) -> tuple[Seconds, Seconds, Seconds]:
    """Return where the rate's pieces start, their rates there, and how fast these change."""
    match arrivals:
        case Ramp(start, end, seconds):
            slope = (end - start) / seconds
            return np.array([0.0, seconds]), np.array([start, end]), np.array([slope, 0.0])
        case Steps(steps):
            ends = np.cumsum([step.seconds for step in steps])
            rates = np.array([step.rate for step in steps])
            return np.concatenate([[0.0], ends[:-1]]), rates, np.zeros(len(steps))
        case Replay():
            raise TypeError("a replay has times, not a rate")
        case _:
            return np.zeros(1), np.array([arrivals.rate]), np.zeros(1)


def _expected(starts: Seconds, rates: Seconds, slopes: Seconds) -> Seconds:
    """Return the requests expected before each piece."""
    lengths = np.diff(starts)
    each = rates[:-1] * lengths + slopes[:-1] * lengths**2 / 2
    return np.concatenate([[0.0], np.cumsum(each)])


def _number(arrivals: Arrivals, count: int | None, duration: float | None) -> int:
    fits = MOST if duration is None else float(progress(arrivals, np.array([duration]))[0])
    number = round(min(fits, MOST if count is None else count))
    if count is not None and count < 1:
        raise TrafficError(f"{count:,} requests: at least 1 is needed")
    if number < 1:
        raise TrafficError(f"no request is due within {duration:g} seconds at this rate")
    if (count or 0) > MOST or (fits > MOST and count is None):
        raise TrafficError(f"more than {MOST:,} requests; take fewer, or a shorter run")
    return number


def _progress(arrivals: Arrivals, number: int, seed: int) -> Seconds:
    """Return at how many expected requests each one comes: 0, 1, 2, … or at random."""
    if isinstance(arrivals, Constant):
        return np.arange(number, dtype=float)
    shape = arrivals.burstiness if isinstance(arrivals, Gamma) else 1.0
    sums = np.cumsum(np.random.default_rng(seed).gamma(shape, size=number))
    return sums * (number / sums[-1]) if sums[-1] > 0 else np.arange(1.0, number + 1)


def _replayed(
    arrivals: Replay, count: int | None, duration: float | None, trace: Traffic | None
) -> Seconds:
    if trace is None:
        raise TrafficError("a replay needs a trace whose times it repeats: give one with --trace")
    due: Seconds = trace.arrivals[:count] * arrivals.scale
    return due if duration is None else due[due < duration]
