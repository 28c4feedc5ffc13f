"""The throughput of a closed loop while all its clients had work, without its beginning and end.

A finite number of requests runs out: the last answers are written with fewer and fewer beside them,
and count for less the longer the run is. What a steady load gets is what came before the last
request was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.run import Run
from headrace.experiments.measured import Measured

_FEWEST = 2
"""Requests of each client below which hardly anything lies between beginning and end."""


def while_busy(run: Run, found: Measured, clients: int) -> Measured:
    """Return the figures with the rates of the time in which all clients were busy.

    As they are where there were too few requests for that, or where some failed.
    """
    good = [one for one in run.counted if one.failure is None]
    if found.failed or not found.output_mean or len(good) < _FEWEST * clients:
        return found
    begin = min(one.sent for one in good)
    end = max(one.sent for one in good)
    if clients == 1:
        end = max(one.ended for one in good)
    if end <= begin:
        return found
    tokens = sum(_written(one, end) for one in good) / (end - begin)
    requests = tokens / found.output_mean
    prompt = found.prompt_mean or 0.0
    return msgspec.structs.replace(
        found,
        requests=requests,
        output_tokens=tokens,
        total_tokens=requests * (prompt + found.output_mean),
        in_flight=float(clients),
        goodput=None if found.good is None else requests * found.good,
    )


def _written(one: Answer, end: float) -> float:
    """Return how many of an answer's tokens had come by `end`: of an event an equal share each."""
    times = list(_events(one))
    if not times:
        return 0.0
    each = (one.output_tokens or len(times)) / len(times)
    return each * sum(at <= end for at in times)


def _events(one: Answer) -> Iterator[float]:
    if one.first is not None:
        yield from accumulate(one.gaps, initial=one.first)
