"""What the client does with the bytes of an answer: count events, note times, find the end."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from collections import Counter
from typing import Protocol, cast

from bench.schedule import Kind

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_END = b"0\r\n\r\n"


class Tally:
    """What all connections saw together; times in seconds."""

    def __init__(self) -> None:
        self.done = 0
        self.chunks = 0
        self.reads = 0
        self.ttft = array("d")
        self.gaps = array("d")
        self.latency = array("d")
        self.errors: Counter[str] = Counter()


class Owner(Protocol):
    """Who is told that a connection is free again, or gone."""

    def freed(self, connection: Connection) -> None:
        """Take back a connection whose answer is complete (or failed)."""

    def lost(self, connection: Connection, *, busy: bool) -> None:
        """Forget a connection that was closed, while it carried a request (`busy`) or was free."""


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    transport: asyncio.Transport

    def __init__(self, owner: Owner, tally: Tally, target: int) -> None:
        self.owner = owner
        self.tally = tally
        self.target = target
        self.busy = False

    def ask(self, request: bytes, kind: Kind, events: int) -> None:
        """Send a request; a stream must bring `events` events, the closing one included."""
        self.busy = True
        self.streaming = kind is Kind.STREAM
        self.expected = events
        self.events = 0
        self.missing = -1  # bytes of a sized body still to come; -1: head not seen, -2: chunked
        self.head = b""
        self.tail = b""
        self.sent = self.last = time.perf_counter()
        self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the request that was under way as failed."""
        del exc
        if self.busy:
            self._fail("connection lost")
        else:
            self.owner.lost(self, busy=False)

    def data_received(self, data: bytes) -> None:
        """Take what came; this runs once per chunk, so it does little."""
        now = time.perf_counter()
        if self.missing == -1:
            data = self._read_head(data)
            if not data:
                return
        if self.missing >= 0:
            self.missing -= len(data)
            if self.missing <= 0:
                self._end()
            return
        if self.streaming:
            self._count(data, now)
        whole = data if len(data) > 4 else self.tail + data
        self.tail = whole[-4:]
        if whole.endswith(_END):
            self._finish()

    def _finish(self) -> None:
        if self.streaming and self.events != self.expected:
            self._fail("wrong number of events")
        else:
            self._end()

    def _count(self, data: bytes, now: float) -> None:
        # An event ends in a blank line, which the chunk framing (CR LF) never contains; it may be
        # cut in two.
        events = data.count(b"\n\n") + (self.tail[-1:] == b"\n" and data[:1] == b"\n")
        if not events:
            return
        if self.events:
            self.tally.gaps.append(now - self.last)
        else:
            self.tally.ttft.append(now - self.sent)
        self.tally.reads += 1
        self.events += events
        self.last = now

    def _read_head(self, data: bytes) -> bytes:
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, rest = self.head[:end], self.head[end + 4 :]
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(head.split(b"\r\n", 1)[0].decode("latin-1"))
            return b""
        length = _LENGTH.search(head)
        self.missing = int(length[1]) if length else -2
        self.head = b""
        return rest

    def _fail(self, error: str) -> None:
        self.busy = False
        self.tally.errors[error] += 1
        self.owner.lost(self, busy=True)
        self.transport.abort()

    def _end(self) -> None:
        self.busy = False
        self.tally.done += 1
        if self.streaming:
            self.tally.chunks += self.events - 1
        else:
            self.tally.latency.append(time.perf_counter() - self.sent)
        self.owner.freed(self)
