"""Doubts about the run's course: whether it was one state of things that another run would repeat.

**A queue that grows.** An open loop above what the server can do has no steady state: each request
waits longer than the last, and every latency tells how long the run was. It shows in what is in
flight while requests still arrive: if it is higher in each third, and by the last one a twentieth
of the requests that came in between have not left, then they came faster than they could be
answered. What such a run does tell is the rate at which the server answers when it is full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.asked import is_closed, is_steady
from headrace.bench.doubt import Doubt, doubtful
from headrace.bench.flight import steps
from headrace.bench.run import Run
from headrace.bench.spread import known, spread
from headrace.bench.summary import Summary
from headrace.bench.words import count, number, rate, seconds
from headrace.evidence.difference import Difference, difference, percentile

LEFT_BEHIND = 0.05
"""Share of arrivals that have not left, beyond which a queue grows rather than varies."""
_GROWN = 1.5
DRIFT = 0.10
"""Change of a median from the first to the last third that is more than runs usually differ."""
COLD = 1.5
"""How many times slower the first requests must be to be still warming up."""
_FEWEST = 30
_FIRST = 10


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in flight in the first and the last third of the arrivals, in the mean; rates."""

    first: float
    last: float
    came: float
    """Requests a second that came."""
    left: float
    """Requests a second that were over, while others still came."""


def course_doubts(run: Run, summary: Summary) -> Iterator[Doubt]:
    """Yield what is to be said of the course."""
    answers = sorted(run.counted, key=lambda one: (one.due, one.number))
    found = growth(answers) if is_steady(run.about) and not is_closed(run.about) else None
    if found is not None:
        yield _saturated(found)
    elif is_steady(run.about):
        yield from _drift([one for one in answers if one.failure is None])
    yield from _warmup(summary, answers)


def growth(answers: Sequence[Answer]) -> Growth | None:
    """Return how a queue grew all the run long; None where none did. Answers by due time."""
    if len(answers) < _FEWEST:
        return None
    start, end = answers[0].due, answers[-1].due
    third = (end - start) / 3
    if third <= 0:
        return None
    made = steps(answers)
    first, middle, last = (
        _mean_between(made, start + place * third, start + (place + 1) * third)
        for place in range(3)
    )
    came = (len(answers) - 1) / (end - start)
    left = sum(one.ended <= end for one in answers) / (end - start)
    behind = (last - first) / (came * 2 * third)
    if not first < middle < last or last < _GROWN * first or behind < LEFT_BEHIND:
        return None
    return Growth(first=first, last=last, came=came, left=left)


def _mean_between(made: Sequence[tuple[float, int]], start: float, end: float) -> float:
    """Return the mean number in flight between two times."""
    area, after = 0.0, [*made, (end, 0)]
    for (since, many), (until, _) in pairwise(after):
        area += many * max(0.0, min(until, end) - max(since, start))
    return area / (end - start)


def _saturated(found: Growth) -> Doubt:
    return doubtful(
        f"Requests came faster than they were answered ({rate(found.came)} a second came,"
        f" {rate(found.left)} left), and those in flight grew from {number(found.first)} to"
        f" {number(found.last)}: this is no steady state, and every latency is a matter of how long"
        " the run was.",
        f"Take the rate that left as what the server can do; for latencies ask for less than"
        f" {rate(found.left)} a second.",
    )


def _drift(good: Sequence[Answer]) -> Iterator[Doubt]:
    """Compare the medians of the first and the last third."""
    third = len(good) // 3
    for name, said in (("ttft_due", "TTFT"), ("tpot", "TPOT")):
        first, last = (
            known(getattr(one, name) for one in some)
            for some in (good[:third], good[len(good) - third :])
        )
        if not len(first) or not len(last):
            continue
        found = difference(first.tolist(), last.tolist(), percentile(50))
        if found.real and abs(found.change or 0.0) > DRIFT:
            yield _drifted(said, found)


def _drifted(name: str, found: Difference) -> Doubt:
    return doubtful(
        f"The median {name} was not the same all along: from the first third of the run to the last"
        f" it went {found.words()}.",
        "Look for what changed (caches that fill, a neighbour, heat), warm up for longer, and run"
        " it again.",
    )


def _warmup(summary: Summary, answers: Sequence[Answer]) -> Iterator[Doubt]:
    """Compare the first requests that count with the others: the median TTFT from sending."""
    good = [one for one in answers if one.failure is None and one.ttft is not None]
    if len(good) < _FEWEST:
        return
    early = min(_FIRST, len(good) // 3)
    first, rest = (spread(one.ttft for one in some).p50 for some in (good[:early], good[early:]))
    if first is None or rest is None:
        return
    if first > COLD * rest and _slower(good, early):
        many = count(summary.counts.warmup, "request")
        yield doubtful(
            f"The first {early} requests that count had a median TTFT of {seconds(first)}, the"
            f" others {seconds(rest)}: after {many} of warm-up the server was not yet warm.",
            f"Warm up with more than {summary.counts.warmup + early} requests.",
        )


def _slower(good: Sequence[Answer], early: int) -> bool:
    """Whether most of the first are beyond three quarters of the others: one alone is chance."""
    ordered = sorted(one.ttft or 0.0 for one in good[early:])
    bound = ordered[3 * len(ordered) // 4]
    slow = sum((one.ttft or 0.0) > bound for one in good[:early])
    return slow >= 0.7 * early
