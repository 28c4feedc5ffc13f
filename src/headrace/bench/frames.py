"""What the processes of a run say to each other: MessagePack behind its length in four bytes.

The run gives a `Job` and, once all are ready, `Go`; a worker says `Ready`, `News` a few times a
second, and `Over` at its end. The end of its input, or `Stop`, ends a worker's run.
"""

from __future__ import annotations

import asyncio
import struct

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.bench.samples import Sample
from headrace.bench.target import Target

LIMIT = 1 << 24
"""Bytes of a pipe that are read ahead of who takes them."""
_LENGTH = struct.Struct(">I")


class Job(msgspec.Struct, tag=True):
    """One worker's part of a run."""

    number: int
    target: Target
    load: Load
    asks: list[Ask]
    mark: str


class Go(msgspec.Struct, tag=True):
    """Begin; times are from `origin` on the monotonic clock, which all processes share."""

    origin: float


class Stop(msgspec.Struct, tag=True):
    """Send no more; end what is in flight."""


class Ready(msgspec.Struct, tag=True):
    """Everything that would make the first request late is done; `ahead` as it came to be."""

    ahead: bool


class News(msgspec.Struct, tag=True):
    """What happened since the last news; `sent` and `running` are as of now."""

    answers: list[Answer]
    samples: list[Sample]
    sent: int
    running: int
    lag: float


class Over(msgspec.Struct, tag=True):
    """Nothing more will come."""


_encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Job | Go | Stop).decode
decode_news = msgspec.msgpack.Decoder(Ready | News | Over).decode


def frame(message: Job | Go | Stop | Ready | News | Over) -> bytes:
    """Return a message with its length before it."""
    data = _encode(message)
    return _LENGTH.pack(len(data)) + data


async def next_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next message, to be decoded; None at the end of what the other side says."""
    try:
        size = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))[0]
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
