"""Doubts about the run's course: whether it was one state of things that another run would repeat.

**A queue that grows.** An open loop above what the server can do has no steady state: each request
waits longer than the last, and every latency tells how long the run was. It shows in what is in
flight while requests still arrive. In the first third it rises in any run, until the first answers
are over; if it rises from the second third to the last, and by then a twentieth of the requests
that came in between have not left, they came faster than they could be answered. What such a run
does tell is the rate at which the server answers when it is full.

**A run that is too short** for its answers is all beginning and end. How long an answer takes that
waits for nobody is taken from the earliest first token and the fastest tenth of what follows: where
a queue grows, the fastest tenth as a whole have waited, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from headrace.bench.answers import Answer
from headrace.bench.asked import is_closed, is_steady
from headrace.bench.doubt import Doubt, doubtful
from headrace.bench.flight import steps
from headrace.bench.run import Run
from headrace.bench.spread import known, spread
from headrace.bench.summary import Summary
from headrace.bench.words import number, rate, seconds
from headrace.diagnosis.words import count
from headrace.evidence.difference import Difference, difference, percentile

LEFT_BEHIND = 0.05
"""Share of arrivals that have not left, beyond which a queue grows rather than varies."""
_GROWN = 1.15
DRIFT = 0.10
"""Change of a median from the first to the last third that it surely exceeds if it is a doubt."""
COLD = 1.5
"""How many times slower the first requests must be to be still warming up."""
SHORT = 3
"""How many times an answer's time requests should come, at least."""
_FEWEST = 30
_FIRST = 10


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in flight in the second and the last third of the arrivals, in the mean; rates."""

    middle: float
    last: float
    came: float
    """Requests a second that came."""
    left: float
    """Requests a second that were over, while others still came."""


def course_doubts(run: Run, summary: Summary) -> Iterator[Doubt]:
    """Yield what is to be said of the course."""
    answers = run.by_due
    good = [one for one in answers if one.failure is None]
    if is_steady(run.about):
        yield from _steady(answers, good, closed=is_closed(run.about))
    yield from _warmup(summary, answers)


def _steady(answers: Sequence[Answer], good: Sequence[Answer], *, closed: bool) -> Iterator[Doubt]:
    short = _short(answers, good)
    found = None if closed or short else growth(answers)
    if short:
        yield short
    elif found is not None:
        yield _saturated(found)
    else:
        yield from _drift(good)


def _short(answers: Sequence[Answer], good: Sequence[Answer]) -> Doubt | None:
    """Return a doubt if requests came for too short a time."""
    if len(good) < _FEWEST or not any(one.ttft for one in good):
        return None
    lasted = answers[-1].due - answers[0].due
    firsts = known(one.ttft for one in good)
    after = [one.e2e - one.ttft for one in good if one.ttft is not None]
    alone = min(firsts) + float(np.percentile(after, 10))
    if lasted >= SHORT * alone:
        return None
    return doubtful(
        f"Requests came for {seconds(lasted)}, and an answer takes {seconds(alone)}: the run was"
        " mostly its beginning and its end, with fewer in flight than the load means.",
        f"Let it last {seconds(SHORT * alone)} or longer.",
    )


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
    behind = (last - middle) / (came * third)
    if not first < middle or last < _GROWN * middle or behind < LEFT_BEHIND:
        return None
    return Growth(middle=middle, last=last, came=came, left=left)


def _mean_between(made: Sequence[tuple[float, int]], start: float, end: float) -> float:
    """Return the mean number in flight between two times."""
    area, after = 0.0, [*made, (end, 0)]
    for (since, many), (until, _) in pairwise(after):
        area += many * max(0.0, min(until, end) - max(since, start))
    return area / (end - start)


def _saturated(found: Growth) -> Doubt:
    return doubtful(
        f"Requests came faster than they were answered ({rate(found.came)} a second came,"
        f" {rate(found.left)} left), and those in flight grew from {number(found.middle)} in the"
        f" second third to {number(found.last)} in the last: this is no steady state, and every"
        " latency is a matter of how long the run was.",
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
        if found.real and min(abs(found.low or 0.0), abs(found.high or 0.0)) > DRIFT:
            yield _drifted(said, found)


def _drifted(name: str, found: Difference) -> Doubt:
    return doubtful(
        f"The median {name} was not the same all along: from the first third of the run to the last"
        f" it went {found.words()}.",
        "Look for what changed (caches that fill, a neighbour, a load near what the server can do),"
        " warm up for longer, and run it again.",
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
