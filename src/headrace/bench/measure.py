"""Measure an endpoint under a load: the one function that verbs and experiments call.

`workers.py` starts the processes that send (`sender.py`, `client.py`), `scrape.py` reads metrics
pages meanwhile, and a `Keep` (`folder.Writer`) keeps what comes as it comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import uuid4

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.asks import Ask
from headrace.bench.crew import crew_size, parts
from headrace.bench.frames import Job
from headrace.bench.gathering import Gathering
from headrace.bench.load import Load, Progress
from headrace.bench.run import About, Run
from headrace.bench.samples import Sample
from headrace.bench.scrape import Listing, Scraper
from headrace.bench.target import Page, Target, place
from headrace.bench.workers import run_crew, run_here

__all__ = ["Keep", "Load", "Page", "Progress", "Target", "measure"]


class Keep(Protocol):
    """Who is given answers and samples as they come; `folder.Writer` is one."""

    def answers(self, answers: Sequence[Answer]) -> None:
        """Take answers in the order in which they ended."""

    def samples(self, samples: Sequence[Sample]) -> None:
        """Take samples."""


async def measure(
    target: Target,
    asks: Sequence[Ask],
    load: Load,
    tell: Callable[[Progress], None],
    *,
    stop: asyncio.Event | None = None,
    keep: Keep | None = None,
    listing: Listing | None = None,
) -> Run:
    """Send the asks and return what came of them; `tell` hears about it a few times a second.

    When `stop` is set, requests in flight end as STOPPED and the run is returned as far as it came,
    with `about.interrupted`. The caller adds to `run.about` what it knows: name, workload, slo.
    `listing` says which metrics pages there are later; without it those of the target are read to
    the end. TargetError if the address is none.
    """
    place(target.address)
    stop = stop or asyncio.Event()
    count = crew_size(load, asks)
    run = Run(_about(target, load, count))
    gathering = Gathering(run, tell, keep)
    scraper = Scraper(target.scrape, load.sample_every, gathering.samples, listing)
    mark = f"bench-{uuid4().hex[:8]}"
    jobs = [
        Job(number, target, part, its, mark)
        for number, (part, its) in enumerate(parts(load, asks, max(count, 1)))
    ]

    async def begin(origin: float, *, ahead: bool) -> None:
        run.about.ahead = ahead
        run.about.began = _utc(time.time() + origin - time.monotonic())
        gathering.begin(origin)
        await scraper.begin(origin)

    try:
        if count:
            lost = await run_crew(jobs, gathering.hear, begin, stop)
        else:
            lost = await run_here(jobs[0], gathering.hear, begin, stop)
    finally:
        await scraper.end()
    gathering.end(lost, interrupted=stop.is_set())
    return run


def _about(target: Target, load: Load, count: int) -> About:
    return About(
        name=target.model,
        address=target.address,
        model=target.model,
        began="",
        clients=max(count, 1),
        load=msgspec.to_builtins(load),
    )


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
