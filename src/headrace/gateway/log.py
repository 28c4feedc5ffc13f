"""Where records go from the event loop: a bounded buffer, emptied by a thread twice a second.

Adding a record is one append; encoding, the store (`store.py`) and spans (`spans.py`) happen in the
thread, so that neither a slow disk nor a dead collector delays a stream. What cannot be kept is
dropped and counted, and nothing else suffers.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING

from headrace.gateway.control import Store
from headrace.gateway.records import Record
from headrace.gateway.store import RequestStore

if TYPE_CHECKING:
    from headrace.gateway.spans import Spans

FLUSH_EVERY = 0.5
"""Seconds between writes."""
TIDY_EVERY = 10.0
"""Seconds between writes while there is nothing to write: what is too old goes."""
MAX_BUFFERED = 20_000
"""Records that wait for the thread; more are dropped."""
MAX_TEXT = 64 * 1024 * 1024
"""Characters of prompts and answers among them."""


class Log:
    """Takes the records of one gateway; `dropped` counts those that could not be kept."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: list[Record] = []
        self._text = 0
        self._wanted: tuple[Store | None, str | None] = (None, None)
        self._tidy_at = 0.0
        self._work = _Work()

    @property
    def traced(self) -> bool:
        """Whether spans are made of records."""
        return self._wanted[1] is not None

    def configure(self, store: Store | None, traces: str | None = None) -> None:
        """Send records to this store and spans to this collector from the next write on."""
        self._wanted = (store, traces)

    def add(self, record: Record) -> None:
        """Take a record; it is in the store half a second later."""
        if self._wanted == (None, None):
            return
        text = len(record.prompt or "") + len(record.answer or "")
        if len(self._waiting) >= MAX_BUFFERED or self._text + text > MAX_TEXT:
            self.dropped += 1
            return
        self._text += text
        self._waiting.append(record)

    async def write_soon(self) -> None:
        """Wait half a second and write what has been collected by then, in a thread."""
        await asyncio.sleep(FLUSH_EVERY)
        now = monotonic()
        if self._waiting or self._work.target != self._wanted or now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY
            self.dropped += await asyncio.to_thread(self._work.do, self._take(), self._wanted)

    def flush(self) -> None:
        """Write at once what has been collected."""
        self.dropped += self._work.do(self._take(), self._wanted)

    def close(self) -> None:
        """Write what has been collected and let go of the store and the collector."""
        self.flush()
        self._work.do([], (None, None))

    def _take(self) -> list[Record]:
        taken, self._waiting, self._text = self._waiting, [], 0
        return taken


class _Work:
    """What the thread does; a flush may find it at work, hence the lock."""

    def __init__(self) -> None:
        self.target: tuple[Store | None, str | None] = (None, None)
        self._lock = threading.Lock()
        self._store: RequestStore | None = None
        self._spans: Spans | None = None

    def do(self, records: list[Record], target: tuple[Store | None, str | None]) -> int:
        """Write records to the target; return how many the store could not keep."""
        with self._lock:
            if target != self.target:
                self._aim(target)
            if self._spans is not None:
                self._spans.export(records)
            return 0 if self._store is None else self._store.write(records)

    def _aim(self, target: tuple[Store | None, str | None]) -> None:
        store, traces = target
        if store != self.target[0]:
            if self._store is not None:
                self._store.close()
            self._store = RequestStore(store, say) if store else None
        if traces != self.target[1]:
            if self._spans is not None:
                self._spans.close()
            self._spans = _spans(traces) if traces else None
        self.target = target


def _spans(endpoint: str) -> Spans | None:
    from headrace.gateway.spans import Spans  # noqa: PLC0415 - 20 MiB that most gateways spare

    try:
        return Spans(endpoint, say)
    except Exception as error:  # noqa: BLE001 - OTEL_* variables configure the SDK; it raises anything
        say(f"spans are not sent to {endpoint}: {error}")
        return None


def say(sentence: str) -> None:
    """Tell the operator, in the gateway's own log."""
    sys.stderr.write(f"gateway: {sentence}\n")
    sys.stderr.flush()
