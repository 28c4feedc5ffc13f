"""What one request takes with nobody beside it: a promise tighter than that is kept at no load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from headrace.bench.answers import Answer
from headrace.bench.run import Run
from headrace.bench.spread import known

FEW = 3
"""Requests that were alone from which their median is believed."""
MANY = 20
"""Answers of which the fastest is believed, where none was alone."""


def beyond(run: Run) -> dict[str, float]:
    """Return by promise the median seconds of requests that were alone, where that breaks it."""
    alone = list(_alone(run.answers))
    if len(alone) < FEW:
        return {}
    return _broken(run, {name: median(values) for name, values in _times(run, alone)})


def never(run: Run) -> dict[str, float]:
    """Return by promise the seconds of the fastest of many answers, where even that breaks it."""
    whole = [one for one in run.counted if one.failure is None]
    if len(whole) < MANY:
        return {}
    return _broken(run, {name: min(values) for name, values in _times(run, whole)})


def _broken(run: Run, seconds: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in seconds.items() if value > run.about.slo[name]}


def _times(run: Run, answers: Sequence[Answer]) -> Iterator[tuple[str, list[float]]]:
    """Yield the times from sending of each promise: lateness of the client is not theirs."""
    by_name: dict[str, list[float | None]] = {
        "ttft": [one.ttft for one in answers],
        "tpot": [one.tpot for one in answers],
        "e2e": [one.e2e for one in answers],
    }
    for name in run.about.slo:
        values = known(by_name.get(name, ())).tolist()
        if values:
            yield name, values


def _alone(answers: Sequence[Answer]) -> Iterator[Answer]:
    """Yield the whole answers to requests beside which there was no other at any time."""
    ordered = sorted(answers, key=lambda one: one.sent)
    free = [True]
    latest = 0.0
    for one, following in pairwise(ordered):
        latest = max(latest, one.ended)
        free.append(following.sent >= latest)
    for place, one in enumerate(ordered):
        after = free[place + 1] if place + 1 < len(ordered) else True
        if free[place] and after and one.failure is None and not one.warmup:
            yield one
