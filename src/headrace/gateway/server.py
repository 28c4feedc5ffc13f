"""The client's side of the gateway: one connection, its requests in order, its deadlines.

`reader.py` cuts the bytes into requests. Those that arrive while one is being answered wait their
turn; so do all while the client does not read its answers, so that one connection never holds more
than a few of either. A request goes to `Gateway.serve`; the answer comes back through `write`,
`respond`, `refuse` and `answered`. One sweep a second looks at `deadline`, so that no request costs
a timer.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, cast

from headrace.gateway import errors, heads
from headrace.gateway.reader import Refusal, RequestReader
from headrace.gateway.request import Headers, Request, request_id

if TYPE_CHECKING:
    from headrace.gateway.admission import Share
    from headrace.gateway.errors import Failure
    from headrace.gateway.exchange import Exchange
    from headrace.gateway.gateway import Gateway

MAX_PIPELINED = 8
"""Requests read ahead of the one being answered before reading stops."""
MAX_ADMIN = 64
"""Connections to the admin address at once."""
SLOWEST_BODY = 16 * 1024
"""Bytes per second below which an upload runs into the read timeout."""
LINGER = 2.0
"""Seconds that a refused upload is still read and thrown away, so that the refusal arrives."""
PARTING = 1.0
"""Seconds that an idle connection stays open for one more request when the gateway drains."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Client(asyncio.Protocol):
    """One client connection.

    `admin` says that it came to the admin address. `chunked` and `stays_open` describe the answer
    to the current request; `exchange` is that request while a deployment serves it.
    """

    def __init__(self, gateway: Gateway, *, admin: bool = False) -> None:
        self.admin = admin
        self.exchange: Exchange | None = None
        self.deadline = math.inf
        self.chunked = True
        self.stays_open = True
        self._gateway = gateway
        self._limits = gateway.limits
        self._reader = RequestReader(gateway.limits, gateway.admission_of(self))
        self._began: float | None = None
        self._unparsed = b""
        self._waiting: deque[Request | Refusal] = deque()
        self._share: Share | None = None
        self._ends = math.inf
        self._busy = False
        self._going_on = False
        self._paused = False
        self._slow = False
        self._unread = False
        self._lingers = False
        self._no_body = False

    # -- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the gateway, unless it is full."""
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write
        self.deadline = monotonic() + self._limits.keepalive
        most = MAX_ADMIN if self.admin else self._limits.max_connections
        if self._gateway.joined(self) > most:
            self._refuse_connection(errors.too_many_connections(most))

    def data_received(self, data: bytes) -> None:
        """Parse and serve as far as the requests before are answered."""
        if not self._lingers:
            self._unparsed = self._unparsed + data if self._unparsed else data
            self._go_on()

    def eof_received(self) -> None:
        """Take the end of input for hanging up; asyncio then closes the connection."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Stop all work for this client."""
        self._forget_waiting()
        self._reader.forget()
        self._gateway.left(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone()
        self._leave()

    def pause_writing(self) -> None:
        """Stop the engine's bytes: the client reads more slowly than they come."""
        self._slow = True
        self.deadline = min(monotonic() + self._limits.write_timeout, self._ends)
        if self.exchange is not None:
            self.exchange.pause()

    def resume_writing(self) -> None:
        """Let the engine's bytes flow again."""
        self._slow = False
        patience = PARTING if self._gateway.draining else self._limits.keepalive
        self.deadline = self._ends if self._busy else monotonic() + patience
        if self.exchange is not None:
            self.exchange.resume()
        self._go_on()

    @property
    def stalls_at(self) -> str:
        """Of which deployment it leaves so much untaken that the replica is not read; "": none."""
        way = self.exchange.account.direction if self._slow and self.exchange else None
        return way.deployment if way else ""

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
        if failure.status == HTTPStatus.UNAUTHORIZED:
            fields.append((b"www-authenticate", b"Bearer"))
        self.respond(failure.status, fields, failure.body())

    def answered(self, *, close: bool = False) -> None:
        """Serve the next request, or close, now that the answer is written."""
        self.exchange = None
        self._busy = False
        self._ends = math.inf
        self._leave()
        if close or not self.stays_open:
            self._close_kindly()
            return
        patience = PARTING if self._gateway.draining else self._limits.keepalive
        self.deadline = monotonic() + (self._limits.write_timeout if self._slow else patience)
        self._go_on()

    def abort(self) -> None:
        """Close at once."""
        self.exchange = None
        self._transport.abort()

    # -- the gateway's side -------------------------------------------------------------------

    def out_of_time(self) -> None:
        """End what took too long, loudly if the client can still hear it."""
        if self._busy and self.exchange is not None and not self._slow:
            self.exchange.fail(errors.took_too_long(self._limits.total))
        elif self._busy or self._slow or self._lingers or self._began is None:
            self._transport.abort()
        else:
            message = "The request did not arrive in time. Send it faster, or in one piece."
            self._refuse_connection(errors.of_status(408, "request_timeout", message))

    def drain(self) -> None:
        """Close after what runs, where its answer can still say so.

        Elsewhere a request may be on its way to us: an idle connection, and one whose answer has
        told the client that it stays, may have one more, if it comes soon.
        """
        if self.exchange is None or not self.exchange.head_sent:
            self.stays_open = False
        waits = self._waiting or self._unparsed or self._reader.in_request
        if not self._busy and not waits:
            self.deadline = min(self.deadline, monotonic() + PARTING)

    def stop(self, failure: Failure) -> None:
        """Fail what runs and close."""
        self.stays_open = False
        self._forget_waiting()
        if self.exchange is not None:
            self.exchange.fail(failure)
        self._transport.close()

    # -- inside -------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Serve and parse until a request is under way or nothing is left to do.

        Answers that are given at once come back here through `answered`: the loop, not recursion,
        takes the next.
        """
        if self._going_on:
            return
        self._going_on = True
        while not self._lingers and not self._transport.is_closing():
            if self._waiting and not self._busy and not self._slow:
                self._serve(self._waiting.popleft())
            elif self._unparsed and len(self._waiting) <= MAX_PIPELINED:
                self._parse()
            else:
                self._settle()
                break
        self._going_on = False

    def _parse(self) -> None:
        data, self._unparsed = self._unparsed, b""
        most = self._reader.appetite
        if len(data) > most:
            data, self._unparsed = data[:most], data[most:]
        self._waiting.extend(self._reader.feed(data))

    def _settle(self) -> None:
        """Read on only if there is nothing left to parse; watch what is arriving."""
        paused = bool(self._unparsed)
        if paused != self._paused:
            self._paused = paused
            change = self._transport.pause_reading if paused else self._transport.resume_reading
            change()
        if not self._busy and not self._slow:
            self._watch_arrival()

    def _serve(self, item: Request | Refusal) -> None:
        self._began = None
        self._busy = True
        self._ends = self.deadline = monotonic() + self._limits.total
        if isinstance(item, Refusal):
            self._unread = True
            self.stays_open = False
            self._no_body = item.bodiless
            self._gateway.metrics.of(None, None).refused(item.failure.kind)
            self.refuse(item.failure, [(b"x-request-id", item.id.encode())])
            return
        self._share = item.share
        self.chunked = not item.http10
        self.stays_open = item.keep_alive and not self._gateway.draining
        self._no_body = item.method == b"HEAD"
        self._gateway.serve(self, item)

    def _refuse_connection(self, failure: Failure) -> None:
        self._waiting.append(Refusal(failure, request_id(None)))
        self._go_on()

    def _leave(self) -> None:
        """Give back what the current request held."""
        share, self._share = self._share, None
        if share is not None:
            share.leave()

    def _forget_waiting(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, Request) and item.share is not None:
                item.share.leave()

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
        self._forget_waiting()
        if self._transport.is_closing():
            return
        if not self._unread and not self._unparsed and not self._reader.in_request:
            self.deadline = monotonic() + self._limits.write_timeout
            self._transport.close()
            return
        self._lingers = True
        self._unparsed = b""
        self._reader.close()
        self.deadline = monotonic() + LINGER
        self._transport.write_eof()
        self._transport.resume_reading()
