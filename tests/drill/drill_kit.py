"""What the drill's tests share: an ask, answers written by hand, and a server that says a script."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from headrace.drill.asks import Ask
from headrace.drill.judge import Want
from headrace.drill.reading import read
from headrace.drill.seen import End, Seen

WORDS = (" to", " be", " or", " not", " to", " be", " that", " is")
BEYOND = (" the", " question", " here")
WANT = Want((*WORDS, *BEYOND), prompt_tokens=5, ids=tuple(range(10, 21)))
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-headrace-replica: chat-1\r\ntransfer-encoding: chunked\r\n\r\n"


def an_ask(**changed: Any) -> Ask:
    given: dict[str, Any] = {
        "number": 1,
        "chat": True,
        "stream": True,
        "usage": False,
        "ids": False,
    }
    given |= {"system": False, "prompt": "x", "tokens": len(WORDS)}
    return Ask(**{**given, **changed})


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def frame(id_: str = "chatcmpl-1", **more: Any) -> dict[str, Any]:
    head = {"id": id_, "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return {**head, **more}


def delta(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return frame(
        choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more
    )


ROLE = frame(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
USAGE = frame(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13})
DONE = b"data: [DONE]\n\n"


def words(*texts: str) -> list[bytes]:
    """The events of an answer, the last with the finish reason."""
    return [*(event(delta(text)) for text in texts[:-1]), event(delta(texts[-1], "length"))]


def seen(
    ask: Ask, blocks: Sequence[bytes], *, end: End = End.CLOSED, complete: bool = True
) -> Seen:
    """What a client sees to whom each block comes 10 ms after the one before."""
    tail = b"0\r\n\r\n" if complete else b""
    pieces = [HEAD, *map(chunk, blocks), tail]
    times = [(0.01 * at, piece) for at, piece in enumerate(pieces)]
    return read(ask, 0.0, times, 0.01 * len(pieces), end)


@asynccontextmanager
async def scripted(
    pieces: Sequence[bytes], *, reset: bool = False
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads one request and says its pieces; gives its port and what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        asked.append(head + await reader.readexactly(length))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if reset:
            linger = struct.pack("ii", 1, 0)  # closing without patience sends a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked
