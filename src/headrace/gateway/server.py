"""The client's side of the gateway: one connection, its requests in order, its deadlines.

`reader.py` cuts the bytes into requests. Those that arrive while one is being answered wait their
turn. A request goes to `Gateway.serve`; the answer comes back through `write`, `respond`, `refuse`
and `answered`. One sweep a second looks at `deadline`, so that no request costs a timer.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, cast

from headrace.gateway import errors, heads
from headrace.gateway.errors import Failure
from headrace.gateway.reader import RequestReader
from headrace.gateway.request import Headers, Request, request_id

if TYPE_CHECKING:
    from headrace.gateway.exchange import Exchange
    from headrace.gateway.gateway import Gateway

MAX_PIPELINED = 8
"""Requests read ahead of the one being answered before reading stops."""
SLOWEST_BODY = 16 * 1024
"""Bytes per second below which an upload runs into the read timeout."""
LINGER = 2.0
"""Seconds that a refused upload is still read and thrown away, so that the refusal arrives."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Client(asyncio.Protocol):
    """One client connection.

    `chunked` and `stays_open` describe the answer to the current request; `exchange` is that
    request while a deployment serves it.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.exchange: Exchange | None = None
        self.deadline = math.inf
        self.chunked = True
        self.stays_open = True
        self._gateway = gateway
        self._limits = gateway.limits
        self._reader = RequestReader(gateway.limits)
        self._began: float | None = None
        self._waiting: deque[Request | Failure] = deque()
        self._busy = False
        self._serving = False
        self._unread = False
        self._lingers = False
        self._no_body = False

    # -- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the gateway, unless it is full."""
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write
        self.deadline = monotonic() + self._limits.keepalive
        if self._gateway.joined(self) > self._limits.max_connections:
            self._take(errors.too_many_connections(self._limits.max_connections))

    def data_received(self, data: bytes) -> None:
        """Parse; every complete request is served or waits its turn."""
        if self._lingers:
            return
        for item in self._reader.feed(data):
            self._take(item)
        if len(self._waiting) > MAX_PIPELINED:
            self._transport.pause_reading()
        if not self._busy:
            self._watch_arrival()

    def eof_received(self) -> None:
        """Take the end of input for hanging up; asyncio then closes the connection."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Stop all work for this client."""
        self._waiting.clear()
        self._gateway.left(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone()

    def pause_writing(self) -> None:
        """Stop the engine's bytes: the client reads more slowly than they come."""
        self.deadline = monotonic() + self._limits.write_timeout
        if self.exchange is not None:
            self.exchange.pause()

    def resume_writing(self) -> None:
        """Let the engine's bytes flow again."""
        if self._busy:
            self.deadline = math.inf
        if self.exchange is not None:
            self.exchange.resume()

    # -- answers (used by Gateway and Exchange) -----------------------------------------------

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with a whole body; ends the request."""
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        if not self.stays_open:
            headers.append((b"connection", b"close"))
        self.write(heads.to_client(status, headers) + (b"" if self._no_body else body))
        self.answered()

    def refuse(self, failure: Failure, known: Headers) -> None:
        """Answer with an error in OpenAI's shape; ends the request."""
        fields = [(b"content-type", b"application/json"), *known]
        if failure.retry_after is not None:
            fields.append((b"retry-after", b"%d" % failure.retry_after))
        if failure.allow is not None:
            fields.append((b"allow", failure.allow.encode()))
        self.respond(failure.status, fields, failure.body())

    def answered(self, *, close: bool = False) -> None:
        """Serve the next request, or close, now that the answer is written."""
        self.exchange = None
        self._busy = False
        if close or not self.stays_open:
            self._close_kindly()
            return
        self.deadline = monotonic() + self._limits.keepalive
        self._serve_waiting()

    def abort(self) -> None:
        """Close at once."""
        self.exchange = None
        self._transport.abort()

    # -- the gateway's side -------------------------------------------------------------------

    def out_of_time(self) -> None:
        """Close, for the deadline has passed; with a 408 if a request had begun to arrive."""
        if self._busy or self._lingers or self._began is None:
            self._transport.abort()
        else:
            message = "The request did not arrive in time. Send it faster, or in one piece."
            self._take(errors.of_status(408, "request_timeout", message))

    def drain(self) -> None:
        """Close now if idle, else after what runs and what is already here."""
        self.stays_open = False
        if not self._busy and not self._waiting and not self._reader.in_request:
            self._transport.close()

    def stop(self, failure: Failure) -> None:
        """Fail what runs and close."""
        self.stays_open = False
        self._waiting.clear()
        if self.exchange is not None:
            self.exchange.fail(failure)
        self._transport.close()

    # -- inside -------------------------------------------------------------------------------

    def _take(self, item: Request | Failure) -> None:
        self._waiting.append(item)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Serve until a request is under way.

        Answers that are given at once come back here through `answered`: the loop, not recursion,
        takes the next.
        """
        if self._serving:
            return
        self._serving = True
        while self._waiting and not self._busy and not self._transport.is_closing():
            self._busy = True
            self.deadline = math.inf
            self._serve(self._waiting.popleft())
        self._serving = False
        if not self._busy and not self._lingers and not self._transport.is_closing():
            self._transport.resume_reading()
            self._watch_arrival()

    def _serve(self, item: Request | Failure) -> None:
        self._began = None
        if isinstance(item, Failure):
            self._unread = True
            self.stays_open = self._no_body = False
            self._gateway.metrics.of(None, None).refused(item.kind)
            self.refuse(item, [(b"x-request-id", request_id(None).encode())])
            return
        self.chunked = not item.http10
        self.stays_open = item.keep_alive and not self._gateway.draining
        self._no_body = item.method == b"HEAD"
        self._gateway.serve(self, item)

    def _watch_arrival(self) -> None:
        """While a request arrives, it must do so in time; it may be waiting for our permission."""
        if not self._reader.in_request:
            return
        if self._began is None:
            self._began = monotonic()
        extra = self._reader.size / SLOWEST_BODY
        self.deadline = self._began + self._limits.read_timeout + extra
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            self.write(_CONTINUE)

    def _close_kindly(self) -> None:
        """Close so that the last answer arrives even if the client is still sending.

        Closing with unread input would reset the connection and may destroy the answer.
        """
        self._waiting.clear()
        if self._transport.is_closing():
            return
        if not self._unread and not self._reader.in_request:
            self.deadline = monotonic() + self._limits.write_timeout
            self._transport.close()
            return
        self._lingers = True
        self.deadline = monotonic() + LINGER
        self._transport.write_eof()
        self._transport.resume_reading()
