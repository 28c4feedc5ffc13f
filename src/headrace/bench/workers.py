"""Starts the processes that send, hears their news, and says so if one dies."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from headrace.bench.frames import (
    LIMIT,
    Go,
    Job,
    News,
    Over,
    Ready,
    Stop,
    decode_news,
    frame,
    next_frame,
)
from headrace.bench.shift import Shift

_HEAD_START = 0.1
"""Seconds from the word to go until the run begins: the word must have reached all."""
_START, _STOP = 60.0, 5.0
"""Seconds that a process has to get ready, and to end once told."""
_WORDS = 2000

Hear = Callable[[int, News], None]


class Begin(Protocol):
    """What is done when a run begins."""

    async def __call__(self, origin: float, *, ahead: bool) -> None:
        """Begin: `origin` is on the monotonic clock, `ahead` says how the senders run."""


async def run_here(job: Job, hear: Hear, begin: Begin, stop: asyncio.Event) -> list[str]:
    """Do a job in this process; nothing goes wrong with it that an exception does not tell."""
    shift = Shift(job, lambda news: hear(0, news))
    await shift.prepare()
    origin = monotonic() + _HEAD_START
    await begin(origin, ahead=False)
    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(lambda task: None if task.cancelled() else shift.stop())
    try:
        await shift.run(origin)
    finally:
        stopping.cancel()
    return []


async def run_crew(jobs: Sequence[Job], hear: Hear, begin: Begin, stop: asyncio.Event) -> list[str]:
    """Do jobs in a process each; return a sentence for each that died.

    `begin` is called once all processes are ready.
    """
    crew = [Worker(job, hear) for job in jobs]
    try:
        await asyncio.gather(*(worker.start() for worker in crew))
        origin = monotonic() + _HEAD_START
        for worker in crew:
            worker.say(Go(origin))
        await begin(origin, ahead=all(worker.ahead for worker in crew))
        await _until_over(crew, stop)
    finally:
        await asyncio.gather(*(worker.end() for worker in crew))
    return [worker.lost for worker in crew if worker.lost]


async def _until_over(crew: Sequence[Worker], stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    working = asyncio.create_task(_listen(crew))
    try:
        await asyncio.wait([stopping, working], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            for worker in crew:
                worker.say(Stop())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(working), _STOP)
        else:
            await working
    finally:
        stopping.cancel()
        working.cancel()


async def _listen(crew: Sequence[Worker]) -> None:
    await asyncio.gather(*(worker.listen() for worker in crew))


class Worker:
    """One process that sends, seen from here."""

    def __init__(self, job: Job, hear: Hear) -> None:
        self._job, self._hear = job, hear
        self._process: asyncio.subprocess.Process | None = None
        self._words: asyncio.Task[bytes] | None = None
        self._answered = 0
        self._over = False
        self.ahead = False
        self.lost = ""

    async def start(self) -> None:
        """Start it; return when it is ready, or dead."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "headrace.bench.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LIMIT,
            start_new_session=True,
        )
        assert self._process.stderr is not None  # noqa: S101 - it was asked for
        self._words = asyncio.create_task(self._process.stderr.read())
        self.say(self._job)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START):
                ready = await self._news()
                self.ahead = isinstance(ready, Ready) and ready.ahead

    def say(self, message: Job | Go | Stop) -> None:
        """Tell it something; a dead one does not hear it."""
        assert self._process is not None  # noqa: S101 - it was started
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(OSError):
            self._process.stdin.write(frame(message))

    async def listen(self) -> None:
        """Hear its news until it is over, or it is dead."""
        while isinstance(news := await self._news(), News):
            self._answered += len(news.answers)
            self._hear(self._job.number, news)
        self._over = isinstance(news, Over)

    async def end(self) -> None:
        """See that it is gone, and note it if it went too soon."""
        process, words = self._process, self._words
        if process is None or words is None:
            return
        if not self._over and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        said = (await words)[-_WORDS:].decode("utf-8", "replace").strip().splitlines()
        if not self._over:
            missing = len(self._job.asks) - self._answered
            self.lost = (
                f"sender {self._job.number} died ({_how(process.returncode)}): "
                f"{missing} of its {len(self._job.asks)} requests have no answer"
                + (f"; it said: {said[-1]}" if said else "")
            )

    async def _news(self) -> Ready | News | Over | None:
        assert self._process is not None  # noqa: S101 - it was started
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        data = await next_frame(self._process.stdout)
        return None if data is None else decode_news(data)


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
