"""Measure an endpoint under a load: the one function that verbs and experiments call.

`workers.py` starts the processes that send, `client.py` is what runs in them, `scrape.py` reads
metrics pages meanwhile, `folder.py` keeps what comes as it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from headrace.bench.answers import Answer
from headrace.bench.asks import Ask
from headrace.bench.load import Load, Progress
from headrace.bench.run import Run
from headrace.bench.samples import Sample
from headrace.bench.target import Page, Target

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
) -> Run:
    """Send the asks and return what came of them; `tell` hears about it a few times a second.

    When `stop` is set, requests in flight end as STOPPED and the run is returned as far as it came,
    with `about.interrupted`. The caller adds to `run.about` what it knows: name, workload, slo.
    TargetError if the address is none.
    """
    raise NotImplementedError
