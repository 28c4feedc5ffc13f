"""Writes starts into the ledger's file while the supervisor goes on with its work.

Another process may hold its lock for seconds (`headrace.starts.ledger`), and in these nothing
else may wait: not a replica that got ready, not a client of the control socket. So one thread at a
time writes what has gathered, in the order in which starts ended; a fleet that ends waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from headrace.starts import ledger
from headrace.starts.start import Start

_MOST = 1000
"""Starts that may wait: more than a machine ends in the seconds that a lock is waited for."""


class Writing:
    """The way into one ledger; `failed` hears why starts could not be written."""

    def __init__(self, path: Path, failed: Callable[[OSError], None]) -> None:
        self._path, self._failed = path, failed
        self._waiting: deque[Start] = deque(maxlen=_MOST)
        self._task: asyncio.Task[None] | None = None

    def add(self, start: Start) -> None:
        """Write a start soon; it needs a running event loop."""
        self._waiting.append(start)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting:
            some = tuple(self._waiting)
            self._waiting.clear()
            try:
                await asyncio.to_thread(ledger.record, self._path, *some)
            except OSError as error:
                self._failed(error)

    async def flush(self) -> None:
        """Return when nothing waits any more: at most two waits for the file's lock."""
        if self._task is not None:
            await self._task
