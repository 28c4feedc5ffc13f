"""Measures the three ways of `batching.py`, in turns, on one endpoint.

One at a time and continuous batching are closed loops of 1 and `size` clients. In static batches
`size` requests are sent together, and the next ones when the last of them is answered: as a plain
`generate` loop serves, but for its padding, so this is a lower bound of what static batches lose.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.bench.run import Run
from headrace.bench.samples import Sample
from headrace.bench.summary import window
from headrace.bench.target import Target
from headrace.bench.workload_order import Length, Shape, WorkloadOrder
from headrace.experiments.batching import Point, Way
from headrace.experiments.lab import Lab
from headrace.experiments.predicted import Oracle, Predicted
from headrace.experiments.settings import Count
from headrace.experiments.turns import turns


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens are of each request; answers are log-normal, so that a batch has stragglers."""

    requests: Count = 32
    size: Count = 16
    prompt: Count = 64
    output_p50: Count = 32
    output_p99: Count = 160
    repeats: Count = 2
    seed: int = 1


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Measure each way `repeats` times, with the same requests."""
    async with lab.endpoint() as where:
        asks = await lab.asks(where, order(settings))
        oracle = lab.oracle(asks)
        await lab.warm(where, asks[: settings.size])
        for repeat, way in turns(tuple(Way), settings.repeats):
            point = await _run(lab, where, asks, (way, settings.size, repeat))
            guess = _predicted(oracle, way, settings.size) if oracle else None
            points.append(msgspec.structs.replace(point, predicted=guess))


def order(settings: Settings) -> WorkloadOrder:
    """Return the requests: prompts alike, answers not."""
    shape = Shape(
        "mixed answers",
        Length(settings.prompt, settings.prompt),
        Length(settings.output_p50, settings.output_p99),
    )
    return WorkloadOrder(shapes=(shape,), count=settings.requests, seed=settings.seed)


async def _run(lab: Lab, where: Target, asks: Sequence[Ask], turn: tuple[Way, int, int]) -> Point:
    way, size, repeat = turn
    name = f"{way.replace(' ', '-')}-{repeat + 1}"
    if way is not Way.STATIC:
        load = Load(concurrency=1 if way is Way.ALONE else size, exact_length=True)
        _, run = await lab.run(where, asks, load, name)
        return Point(way=way, repeat=repeat, size=size, run=run, busy=run.in_flight)
    lab.tell(f"measuring {name}: {len(asks)} requests, {size} together")
    load = Load(concurrency=size, exact_length=True, workers=0)
    batches = [asks[at : at + size] for at in range(0, len(asks), size)]
    runs = [await lab.send(where, some, load) for some in batches]
    run = lab.kept(joined(runs), name)
    return Point(way=way, repeat=repeat, size=size, run=run, busy=_busy(runs, run.seconds))


def _busy(runs: Sequence[Run], seconds: float) -> float:
    spent = sum(one.e2e for run in runs for one in run.counted)
    return spent / seconds if seconds > 0 else 0.0


def _predicted(oracle: Oracle, way: Way, size: int) -> Predicted | None:
    if way is Way.CONTINUOUS:
        return oracle.closed_loop(size)
    return oracle.static(1 if way is Way.ALONE else size)


def joined(runs: Sequence[Run]) -> Run:
    """Return runs one after the other as one, without the time between them.

    Nobody has an answer of a static batch before all of it is done, so that is when each ends.
    """
    answers: list[Answer] = []
    samples: list[Sample] = []
    now = 0.0
    for run in runs:
        begin, end = window(run.counted)
        answers += [_moved(one, now - begin, end) for one in run.answers]
        samples += [msgspec.structs.replace(one, at=one.at + now - begin) for one in run.samples]
        now += end - begin
    load = {**runs[0].about.load, "concurrency": None, "batch": len(runs[0].answers)}
    about = msgspec.structs.replace(runs[0].about, seconds=now, load=load)
    return Run(about, answers, samples)


def _moved(one: Answer, by: float, end: float) -> Answer:
    """Return an answer on the joint clock, handed over when its batch was done."""
    first = None if one.first is None else end + by
    return msgspec.structs.replace(
        one, due=one.due + by, sent=one.sent + by, ended=end + by, first=first, last=first, gaps=[]
    )
