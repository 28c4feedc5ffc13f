"""The engine behind the gateway under test: a second, strict reader of what was let through.

It parses with h11, which shares no code with the gateway's httptools. What h11 refuses, or what
carries more than the gateway promises to pass on, is a violation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import h11

_BASE = '{"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":['
_EVENTS = (
    _BASE + '{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}',
    _BASE + '{"index":0,"delta":{"content":" water"},"finish_reason":null}]}',
    _BASE + '{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}',
)
_USAGE = _BASE + '],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
_PRIVATE = {b"authorization", b"x-api-key", b"cookie", b"transfer-encoding", b"proxy-authorization"}


class Engine:
    """Answers every request; `violations` says what should not have come."""

    def __init__(self, secret: str) -> None:
        self.requests = 0
        self.violations: list[str] = []
        self._secret = secret.encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(ConnectionError):
            try:
                await self._serve(reader, writer)
            except h11.RemoteProtocolError as error:
                self.violations.append(f"an engine cannot read what was passed on: {error}")
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=128 * 1024)
        head: h11.Request | None = None
        body = b""
        while True:
            match connection.next_event():
                case h11.NEED_DATA:
                    connection.receive_data(await reader.read(65536))
                case h11.Request() as head:
                    body = b""
                case h11.Data() as data:
                    body += data.data
                case h11.EndOfMessage() if head is not None:
                    self._judge(head, body)
                    for event in _answer(head.target, body):
                        writer.write(connection.send(event) or b"")
                    connection.start_next_cycle()
                case _:
                    return

    def _judge(self, head: h11.Request, body: bytes) -> None:
        self.requests += 1
        names = [name for name, _ in head.headers]
        text = head.target + b"".join(name + value for name, value in head.headers)
        if self._secret in text:
            self.violations.append("an engine got the client's key")
        if found := _PRIVATE.intersection(names):
            self.violations.append(f"an engine got {found}")
        ours = head.target == b"/tokenize" or head.target.startswith(b"/v1/")
        if not ours or b"?" in head.target or b"#" in head.target:
            self.violations.append(f"an engine got the target {head.target!r}")
        if names.count(b"content-length") != 1 or names.count(b"host") != 1:
            self.violations.append("an engine got not exactly one length and one host")
        if read_json(body) is None:
            self.violations.append(f"an engine cannot read the body {body[:100]!r}")


def read_json(body: bytes) -> dict[str, Any] | None:
    """Return the body as an engine in Python sees it; None if it cannot be read at all."""
    try:
        found = json.loads(body.decode())
    except (RecursionError, ValueError) as error:
        # The interpreter's own limits are an engine's affair: it answers 400.
        limits = isinstance(error, RecursionError) or "integer string conversion" in str(error)
        return {"model": "m"} if limits else None
    return found if isinstance(found, dict) and isinstance(found.get("model"), str) else None


def _answer(target: bytes, body: bytes) -> Iterator[h11.Event]:
    asked = read_json(body) or {}
    counts = target == b"/tokenize"
    if counts or not asked.get("stream"):
        text = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
        text = b'{"count":100,"max_model_len":4096,"tokens":[]}' if counts else text
        length = ("content-length", str(len(text)))
        yield h11.Response(status_code=200, headers=[("content-type", "application/json"), length])
        yield h11.Data(data=text)
    else:
        yield h11.Response(status_code=200, headers=[("content-type", "text/event-stream")])
        usage = (_USAGE,) if asked.get("stream_options") else ()
        for event in (*_EVENTS, *usage, "[DONE]"):
            yield h11.Data(data=f"data: {event}\n\n".encode())
    yield h11.EndOfMessage()
