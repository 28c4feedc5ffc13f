"""HTTP/1.1 as a twin serves it: small, fast, and able to break a connection on command.

A framework's machinery would cost more for each streamed token than the twin itself (bench/twin.py
measures it). `Server` listens; each request becomes an `Exchange`, which the face in front answers
at once or bit by bit.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

import httptools
import msgspec

MAX_BODY = 32 * 2**20
"""Bytes of a request's body, beyond which it is refused."""
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
_HEAD = "HTTP/1.1 {} {}\r\nserver: uvicorn\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_RST = struct.pack("ii", 1, 0)
"""SO_LINGER for no time at all: closing then sends a reset."""

Handler = Callable[["Exchange"], None]


def dumps(value: Any) -> bytes:
    """Write JSON as the engines do: compact, and not only ASCII."""
    return msgspec.json.encode(value)


class Exchange:
    """One request and its answer; `gone` is called if the client leaves before the end."""

    def __init__(self, connection: _Connection, method: str, path: str, body: bytes) -> None:
        self.method, self.path, self.body = method, path, body
        self.is_json = False
        """What the content type says of the body."""
        self.gone: Callable[[], None] | None = None
        self.over = False
        self._connection = connection

    def reply(self, status: int, content: Any, **headers: str) -> None:
        """Answer with JSON, or with bytes as they are."""
        data = content if isinstance(content, bytes) else dumps(content)
        kind = {} if isinstance(content, bytes) else {"content_type": JSON}
        head = _head(status, {"content_length": str(len(data)), **kind, **headers})
        self._connection.write(head + data)
        self._end()

    def begin(self, **headers: str) -> None:
        """Begin to answer with a stream of events."""
        fields = {"content_type": EVENTS, **headers, "transfer_encoding": "chunked"}
        self._connection.write(_head(200, fields))

    def send(self, data: bytes) -> None:
        """Send one piece of the stream."""
        self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    def send_raw(self, data: bytes) -> None:
        """Send bytes outside any framing."""
        self._connection.write(data)

    def end(self) -> None:
        """End the stream."""
        self._connection.write(_LAST_CHUNK)
        self._end()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.over = True
        self._connection.reset()

    def _end(self) -> None:
        self.over = True
        self._connection.answered()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (_HEAD.format(status, HTTPStatus(status).phrase) + lines + "\r\n").encode("latin-1")


class _Connection(asyncio.Protocol):
    """One client connection: its requests in order, one answer at a time."""

    def __init__(self, server: Server, handler: Handler) -> None:
        self._server, self._handler = server, handler
        self._parser = httptools.HttpRequestParser(self)
        self._url = self._kind = b""
        self._body = bytearray()
        self._waiting: deque[Exchange] = deque()
        self._now: Exchange | None = None
        self._last = False

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the server."""
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse; what is no HTTP gets a 400 and the end."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as defect:
            context = {"message": "a twin's own defect", "exception": defect.__context__}
            asyncio.get_running_loop().call_exception_handler(context)
            self._refuse(500)
        except httptools.HttpParserError:
            self._refuse(400)

    def _refuse(self, status: int) -> None:
        self.write(_head(status, {"content_length": "0", "connection": "close"}))
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Stop the work for this client."""
        self._waiting.clear()
        exchange, self._now = self._now, None
        if exchange is not None and not exchange.over and exchange.gone is not None:
            exchange.gone()
        self._server.left(self)

    # -- httptools' side

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the body's type, and invite a body that waits to be invited."""
        name = name.lower()
        if name == b"content-type":
            self._kind = value
        elif name == b"expect" and value.lower() == b"100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; too large a one ends the connection."""
        self._body += body
        if len(self._body) > MAX_BODY:
            self._refuse(413)

    def on_message_complete(self) -> None:
        """Serve the request, after those before it."""
        if self._transport.is_closing():
            return
        path = self._url.partition(b"?")[0].decode("latin-1")
        method = self._parser.get_method().decode()
        exchange = Exchange(self, method, path, bytes(self._body))
        exchange.is_json = self._kind.lower().startswith(b"application/json")
        self._url = self._kind = b""
        self._body.clear()
        self._last = not self._parser.should_keep_alive()
        self._waiting.append(exchange)
        self._next()

    # -- answers

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._now is not None

    def _next(self) -> None:
        while self._waiting and self._now is None:
            self._now = self._waiting.popleft()
            self._handler(self._now)

    def answered(self) -> None:
        """Go on to the next request, or close."""
        self._now = None
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        elif self._last or self._server.closing:
            self._transport.close()

    def reset(self) -> None:
        """Close with a TCP reset, what is not yet sent included."""
        given = self._transport.get_extra_info("socket")
        # The option belongs to the socket, not to the descriptor; uvloop's own wrapper refuses it.
        with socket.socket(fileno=os.dup(given.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self._transport.abort()

    def finish(self) -> None:
        """Close when everything is sent."""
        self._transport.close()

    def close(self) -> None:
        """Close at once."""
        self._transport.abort()


class Server:
    """Listening sockets and their connections."""

    def __init__(self) -> None:
        self.connections: set[_Connection] = set()
        self.closing = False
        self.quiet = asyncio.Event()
        """Set when nothing is accepted any more and every connection is closed."""
        self._listeners: list[asyncio.Server] = []

    async def listen(self, handler: Handler, host: str, port: int) -> int:
        """Listen there, too; return the port, which the system chooses for 0."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: _Connection(self, handler), host, port, backlog=2048
        )
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    def stop_accepting(self) -> None:
        """Refuse new connections, close the idle ones, and let the others finish."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.connections):
            if not connection.busy:
                connection.finish()
        if not self.connections:
            self.quiet.set()

    def left(self, connection: _Connection) -> None:
        """Forget a closed connection."""
        self.connections.discard(connection)
        if self.closing and not self.connections:
            self.quiet.set()

    async def close(self) -> None:
        """Break off whatever is left."""
        self.stop_accepting()
        for connection in tuple(self.connections):
            connection.close()
        await asyncio.sleep(0)
