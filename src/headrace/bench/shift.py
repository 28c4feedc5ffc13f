"""One process's part of a run, from the first request to the last, in whichever process it is.

`worker.py` is a process for it; `workers.py` also runs it in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headrace.bench.answers import Answer
from headrace.bench.frames import Job, News
from headrace.bench.pulse import Pulse
from headrace.bench.quiet import quiet
from headrace.bench.samples import Sample
from headrace.bench.sender import Sender

_EVERY = 0.25
"""Seconds between two reports."""


class Shift:
    """Sends a job's asks and reports what comes of them."""

    def __init__(self, job: Job, tell: Callable[[News], None]) -> None:
        self._job, self._tell = job, tell
        self._answers: list[Answer] = []
        self._samples: list[Sample] = []
        self._sender = Sender(job.target, job.load, job.asks, self._answers.append, mark=job.mark)

    async def prepare(self) -> None:
        """Do what would make the first request late."""
        await self._sender.prepare()

    def stop(self) -> None:
        """End what is in flight; `run` returns."""
        self._sender.stop()

    async def run(self, origin: float) -> None:
        """Send everything; when this returns, all has been told."""
        job = self._job
        telling = asyncio.create_task(self._tell_often())
        with quiet():
            pulse = Pulse(origin, job.load.sample_every, job.number, self._samples.append)
            try:
                await self._sender.run(origin)
            finally:
                pulse.close()
                telling.cancel()
                self._report()

    async def _tell_often(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self._report()

    def _report(self) -> None:
        sender = self._sender
        news = News(
            self._answers[:], self._samples[:], sender.sent, sender.running, sender.worst_lag
        )
        self._answers.clear()
        self._samples.clear()
        sender.worst_lag = 0.0
        self._tell(news)
