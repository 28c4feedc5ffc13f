"""The twin's scheduler: slots, a queue in front of them, a pace, and an end that can come early.

`api.py` turns what it yields into HTTP; `lifecycle.py` tells it to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from headrace.emulation.behaviour import Behaviour, Manner
from headrace.emulation.metrics import Metrics
from headrace.emulation.text import WRONG, Writer, decode

Finish = Literal["stop", "length", "abort", "error", "reset"]
_DEAD = 137
_SHORT = 0.2
"""Seconds of pause that a cut may wait for."""


@dataclass(frozen=True)
class Step:
    """One thing a request gets: a token, raw bytes for its stream, or its end."""

    token: int | None = None
    finish: Finish | None = None
    raw: bytes = b""


class TwinEngine:
    """What the requests of one twin share; `exit` ends the process when a fault says so."""

    def __init__(self, behaviour: Behaviour, exit_: Callable[[int], object] = os._exit) -> None:
        self.behaviour = behaviour
        self.faults = behaviour.faults
        self.metrics = Metrics(behaviour.names[0])
        self.draining = False
        self._exit = exit_
        self.idle = asyncio.Event()
        """Set while no request runs or waits."""
        self.idle.set()
        self._cut = asyncio.Event()
        self._slots = asyncio.Semaphore(behaviour.slots)

    def cut(self) -> None:
        """End every stream now, in the behaviour's manner."""
        self._cut.set()

    async def run(self, prompt: list[int], limit: int, *, ignore_eos: bool) -> AsyncIterator[Step]:
        """Yield the steps of one answer of at most `limit` tokens; leaving early aborts it."""
        if self.draining:
            yield Step(finish="abort")
            return
        arrived = time.monotonic()
        ended: Finish = "abort"
        self.metrics.arrived(len(prompt))
        self.idle.clear()
        try:
            async with self._slot():
                async for step in self._tokens(prompt, limit, arrived, ignore_eos=ignore_eos):
                    ended = step.finish or ended
                    yield step
        finally:
            self.metrics.ended(ended, time.monotonic() - arrived)
            if not self.metrics.unfinished:
                self.idle.set()

    def _slot(self) -> _Slot:
        return _Slot(self._slots, self.metrics)

    async def _tokens(
        self, prompt: list[int], limit: int, arrived: float, *, ignore_eos: bool
    ) -> AsyncIterator[Step]:
        writer = Writer(decode(prompt), endless=ignore_eos)
        last, first = arrived, 0.0
        for count in range(limit):
            early = await self._pace(count) or await self._fault(count)
            if early:
                yield early
                if early.finish:
                    return
            token = ord(WRONG) if self.faults.wrong else writer.next()
            if token is None:
                yield Step(finish="stop")
                return
            last = self.metrics.token(first=count == 0, since=last)
            first = first or last
            final = count + 1 == limit
            if final and count:
                self.metrics.per_token((last - first) / count)
            yield Step(token, "length" if final else None)

    async def _pace(self, count: int) -> Step | None:
        behaviour = self.behaviour
        pause = (behaviour.tpot if count else behaviour.ttft) * self.faults.slow
        if pause < _SHORT:  # cheaper than a wait that can be interrupted
            await asyncio.sleep(pause)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._cut.wait(), pause)
        return await self._ended(behaviour.cut) if self._cut.is_set() else None

    async def _fault(self, count: int) -> Step | None:
        faults = self.faults
        if faults.die_after == count:
            self._exit(_DEAD)
        if faults.hang_after == count:
            return await self._ended("hang")
        if faults.error_after == count:
            return await self._ended("error")
        if faults.abort_after == count:
            return await self._ended("abort")
        if faults.reset_after == count:
            return Step(finish="reset")
        return (
            Step(raw=b"\xff\x00 not an event \x80\n\n") if faults.garbage_after == count else None
        )

    async def _ended(self, manner: Manner) -> Step:
        if manner == "hang":
            await asyncio.Event().wait()  # until the client goes away
        return Step(finish="error" if manner == "error" else "abort")


class _Slot:
    """A place among the running; waiting for it is counted."""

    def __init__(self, slots: asyncio.Semaphore, metrics: Metrics) -> None:
        self._slots = slots
        self._metrics = metrics

    async def __aenter__(self) -> None:
        self._metrics.waiting(+1)
        try:
            await self._slots.acquire()
        finally:
            self._metrics.waiting(-1)
        self._metrics.running(+1)

    async def __aexit__(self, *_: object) -> None:
        self._metrics.running(-1)
        self._slots.release()
