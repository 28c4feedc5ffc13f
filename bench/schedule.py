"""When requests are sent: fixed beforehand, so that slow answers cannot thin out the load."""

from __future__ import annotations

from enum import Enum
from random import Random

from bench.messages import Job


class Kind(Enum):
    """What is asked for."""

    STREAM = "stream"
    SMALL = "small"
    BIG = "big"


def arrivals(job: Job) -> list[tuple[float, Kind]]:
    """Return when (seconds, ascending) which request is sent; the same for the same seed."""
    random = Random(job.seed)
    times = [(at, Kind.SMALL) for at in _poisson(random, job.small_rate, job.arrivals)]
    times += [(at, Kind.STREAM) for at in _poisson(random, job.stream_rate, job.arrivals)]
    if job.together:
        times += [(random.uniform(0, job.arrivals / 10), Kind.STREAM) for _ in range(job.streams)]
    if job.big_rate:
        count = int(job.arrivals * 0.8 * job.big_rate)  # from the second tenth to the last
        times += [(job.arrivals * 0.1 + (n + 1) / job.big_rate, Kind.BIG) for n in range(count)]
    return sorted(times, key=lambda arrival: arrival[0])


def _poisson(random: Random, rate: float, seconds: float) -> list[float]:
    times: list[float] = []
    at = random.expovariate(rate) if rate else seconds
    while at < seconds:
        times.append(at)
        at += random.expovariate(rate)
    return times
