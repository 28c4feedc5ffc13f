"""A server that says what a test tells it to, byte for byte, and a client's view of it.

These tests mirror `src/headrace/bench`; `tests/bench` is of the repository's own benchmark.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from headrace.bench.answers import Answer
from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.bench.sender import Sender
from headrace.bench.target import Target

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
Script = Callable[["Call"], Awaitable[None]]


class Call:
    """One request that the server has, and the way back."""

    def __init__(self, number: int, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.number, self.head, self.body = number, head, body
        self._writer = writer

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.body)
        return fields

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are, in a write of their own."""
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection with an RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()

    async def stream(self, *events: bytes, done: bool = True) -> None:
        """Send a whole answer of these events."""
        await self.raw(HEAD)
        for one in events:
            await self.chunk(one)
        if done:
            await self.chunk(DONE)
        await self.end()


def token(text: str, finish: str | None = None) -> bytes:
    """An event of `/completions`."""
    return event({"choices": [{"index": 0, "text": text, "finish_reason": finish}]})


def delta(finish: str | None = None, **fields: Any) -> bytes:
    """An event of a chat."""
    return event({"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]})


def usage(prompt: int, completion: int, cached: int | None = None) -> bytes:
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    if cached is not None:
        told["prompt_tokens_details"] = {"cached_tokens": cached}
    return event({"choices": [], "usage": told})


def event(fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[tuple[str, list[Call]]]:
    """Give the address of a server that answers every request by the script, and its calls."""
    calls: list[Call] = []
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                call = Call(len(calls), head, await reader.readexactly(size), writer)
                calls.append(call)
                await script(call)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", calls
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answers(
    address: str, asks: Sequence[Ask], load: Load | None = None, *, chat: bool = False
) -> list[Answer]:
    """Send the asks and return the answers in their order."""
    found: list[Answer] = []
    target = Target(address=address, model="m", chat=chat)
    sender = Sender(target, load or Load(concurrency=1, patience=5.0), asks, found.append)
    await sender.prepare()
    await asyncio.wait_for(sender.run(monotonic()), 60)
    return sorted(found, key=lambda answer: answer.number)


def ask(number: int = 0, **fields: Any) -> Ask:
    return Ask(**({"number": number, "prompt": "Say it.", "max_tokens": 8} | fields))


async def one(
    script: Script, load: Load | None = None, *, chat: bool = False, **fields: Any
) -> Answer:
    """Return what the client makes of the script's answer to one request."""
    async with serving(script) as (address, _):
        found = await answers(address, [ask(**fields)], load, chat=chat)
    assert len(found) == 1
    return found[0]
