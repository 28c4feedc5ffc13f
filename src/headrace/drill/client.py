"""One request over its own connection, recorded as it comes: bytes and their times, nothing else.

An asyncio protocol, because a thousand of them share one core with the fleet they watch.
`reading.py` makes sense of the recording.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from time import monotonic
from typing import cast

from headrace.drill.asks import Ask
from headrace.drill.reading import Chunk, read
from headrace.drill.seen import End, Seen

_REPLICA = re.compile(rb"\r\nx-headrace-replica: ([^\r]+)\r\n", re.IGNORECASE)
_LOOKS = 8
"""How often, within its patience, a client looks whether anything came."""


@dataclass(frozen=True)
class Target:
    """Where requests go: `host:port`, the path before `/completions`, the model's alias, a key."""

    host: str
    port: int
    base: str
    model: str
    key: str | None = None

    def request(self, ask: Ask) -> bytes:
        """Return the bytes of a request; the connection is for this one only."""
        body = ask.body(self.model)
        lines = [
            f"POST {self.base}{ask.path} HTTP/1.1",
            f"host: {self.host}:{self.port}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            f"x-request-id: drill-{ask.number}",
            "connection: close",
        ]
        if self.key:
            lines.append(f"authorization: Bearer {self.key}")
        return "\r\n".join((*lines, "", "")).encode() + body


class Stream(asyncio.Protocol):
    """A request in flight; `events` counts what came so far, roughly tokens."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.began = monotonic()
        self.chunks: list[Chunk] = []
        self._ended = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    @property
    def events(self) -> int:
        """How many pieces came, the head included."""
        return len(self.chunks)

    @property
    def replica(self) -> str | None:
        """Which replica its head names; None while it has none, or names none."""
        named = _REPLICA.search(self.chunks[0][1]) if self.chunks else None
        return named[1].decode() if named else None

    @property
    def latest(self) -> float:
        """When something last came; its beginning if nothing did."""
        return self.chunks[-1][0] if self.chunks else self.began

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(
            "asyncio.Transport", transport
        )  # TCP is one; uvloop's is a class apart

    def send(self, data: bytes) -> None:
        """Send the request."""
        if self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Note what came, and when."""
        self.chunks.append((monotonic(), data))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if not self._ended.done():
            self._ended.set_result(End.RESET if exc else End.CLOSED)

    async def end(self, patience: float) -> End:
        """Return how it ended; SILENT after `patience` seconds without a byte."""
        while not self._ended.done():
            await asyncio.wait([self._ended], timeout=patience / _LOOKS)
            if not self._ended.done() and monotonic() - self.latest > patience:
                return End.SILENT
        return End(self._ended.result())

    def close(self) -> None:
        """Let go of the connection."""
        if self._transport is not None:
            self._transport.abort()


async def connect(target: Target, ask: Ask) -> Stream | None:
    """Return a stream that is connected and has sent its request; None if it cannot connect."""
    loop = asyncio.get_running_loop()
    stream = Stream(ask)
    try:
        await loop.create_connection(lambda: stream, target.host, target.port)
    except OSError:
        return None
    stream.send(target.request(ask))
    return stream


async def finish(stream: Stream, patience: float) -> Seen:
    """Wait for the end of a stream and return what was seen."""
    try:
        end = await stream.end(patience)
    finally:
        stream.close()
    return read(stream.ask, stream.began, stream.chunks, monotonic(), end)


def unconnected(ask: Ask) -> Seen:
    """Return what a client sees that nobody lets in."""
    now = monotonic()
    return Seen(ask, now, now, End.NO_CONNECTION)
