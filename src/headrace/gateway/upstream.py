"""Connections to the replicas: a small HTTP/1.1 client with a keep-alive pool for each replica.

`Pool.start` sends one request and reports to its `Caller` (the exchange): a head, then the body
straight into the relay that the caller returned for that head, then the end or what broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Protocol, cast

from headrace.gateway.chunked import FramingError
from headrace.gateway.heads import AnswerHead, parse_answer
from headrace.gateway.relay import BrokenStreamError, PlainRelay, StreamRelay
from headrace.routing.attempts import Fate

IDLE_FOR = 3.0
"""Seconds that an unused connection is kept: less than the 5 s after which uvicorn closes it."""
CONNECT_TIMEOUT = 5.0
"""Seconds for a replica to accept a connection."""
MAX_HEAD = 64 * 1024
"""Longest response head accepted, in bytes."""

Relay = PlainRelay | StreamRelay
Parts = Sequence[bytes | memoryview]


class Caller(Protocol):
    """Who a call reports to. Exactly one of `answer_done` and `answer_broke` ends it."""

    def answer_began(self, head: AnswerHead) -> Relay:
        """Take the head; return where the body goes."""

    def answer_done(self) -> None:
        """Take note that the whole body has been fed to the relay."""

    def answer_broke(self, what: str, fate: Fate) -> None:
        """Take note that the call failed.

        `stale`: an idle connection turned out to be closed, which says nothing about the replica.
        """

    def crashed(self) -> None:
        """Take note that our own code failed on this call."""


class Call:
    """One request under way. `cancel` and `pause` work at any stage."""

    def __init__(self, caller: Caller, parts: Parts) -> None:
        self.caller: Caller | None = caller
        self.parts = parts
        self._connection: Connection | None = None
        self._paused = False

    def attach(self, connection: Connection) -> None:
        """Note the connection that carries this call."""
        self._connection = connection
        if self._paused:
            connection.pause()

    def cancel(self) -> None:
        """Forget the caller and close the connection, which stops the engine's work."""
        self.caller = None
        if self._connection is not None:
            self._connection.abort()

    def pause(self) -> None:
        """Read no more until `resume`: the client is slower than the engine."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._connection is not None:
            self._connection.resume()


class Connection(asyncio.Protocol):
    """One connection to a replica; carries one call at a time."""

    __slots__ = ("_call", "_caller", "_head", "_keep_alive", "_pool", "_relay", "_transport",
                 "_used_before", "idle_since")  # fmt: skip

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._call: Call | None = None
        self._caller: Caller | None = None
        self._relay: Relay | None = None
        self._head = b""
        self._keep_alive = False
        self._used_before = False
        self.idle_since = 0.0

    # -- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the relay; before there is one, collect the head."""
        relay = self._relay
        if relay is None:
            self._collect_head(data)
            return
        try:
            relay.feed(data)
        except (FramingError, BrokenStreamError) as error:
            self._break(_words(error))
            return
        if relay.body.done:
            self._complete(relay)

    def connection_lost(self, exc: Exception | None) -> None:
        """End or break the call; leave the pool."""
        self._pool.lost(self)
        if self._relay is not None and self._relay.body.ended():
            self._complete(self._relay)
        else:
            self._break(f"closed the connection ({exc})" if exc else "closed the connection")

    # -- the pool's and the call's side -------------------------------------------------------

    def carry(self, call: Call) -> None:
        """Send a request; its parts are not copied."""
        self._call, self._head, self._relay = call, b"", None
        self._caller = call.caller
        call.attach(self)
        self._transport.writelines(call.parts)

    def abort(self) -> None:
        """Close at once."""
        self._call = self._caller = None
        self._transport.abort()

    def crashed(self) -> None:
        """Tell whoever is served that our own code failed."""
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.crashed()

    def pause(self) -> None:
        """Read no more."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    # -- inside -------------------------------------------------------------------------------

    def _collect_head(self, data: bytes) -> None:
        self._head += data
        if self._call is None:
            self.abort()  # bytes that nobody asked for
            return
        head, blank, rest = self._head.partition(b"\r\n\r\n")
        if not blank:
            if len(self._head) > MAX_HEAD:
                self._break("sent a response head that is too long")
            return
        try:
            answer = parse_answer(head + blank)
        except ValueError as error:
            self._break(f"sent a malformed response head: {error}")
            return
        if answer.status < 200:  # noqa: PLR2004  1xx: the real head follows
            self._head = b""
            self._collect_head(rest)
            return
        self._begin(answer, rest)

    def _begin(self, answer: AnswerHead, rest: bytes) -> None:
        call = self._call
        if call is None or call.caller is None:
            return
        self._keep_alive = answer.keep_alive
        relay = self._relay = call.caller.answer_began(answer)
        try:
            relay.begin(rest)
        except (FramingError, BrokenStreamError) as error:
            self._break(_words(error))
            return
        if relay.body.done:
            self._complete(relay)

    def _complete(self, relay: Relay) -> None:
        call, self._call, self._relay = self._call, None, None
        written = not self._transport.get_write_buffer_size()
        if (
            self._keep_alive
            and relay.body.reusable
            and written
            and not self._transport.is_closing()
        ):
            self._used_before = True
            self.idle_since = monotonic()
            self._transport.resume_reading()
            self._pool.returned(self)
        else:
            self._transport.abort()
        if call is not None and call.caller is not None:
            call.caller.answer_done()
        self._caller = None

    def _break(self, what: str) -> None:
        call, self._call = self._call, None
        began = self._relay is not None or bool(self._head)
        self._relay = None
        self._transport.abort()
        if call is not None and call.caller is not None:
            stale = self._used_before and not began
            call.caller.answer_broke(what, "stale" if stale else "broke")


def _words(error: Exception) -> str:
    return f"sent a malformed body: {error}" if isinstance(error, FramingError) else str(error)


class Pool:
    """The connections to one replica."""

    def __init__(self, host: str, port: int) -> None:
        self.address = f"{host}:{port}".encode()
        self.host = host
        self.port = port
        self._idle: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, caller: Caller, parts: Parts) -> Call:
        """Send a request on an idle connection or a new one."""
        call = Call(caller, parts)
        if self._idle:
            self._idle.pop().carry(call)
        else:
            task = asyncio.get_running_loop().create_task(self._connect(call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return call

    def sweep(self, now: float) -> None:
        """Close the connections that have been idle for too long by `now` (monotonic seconds)."""
        while self._idle and now - self._idle[0].idle_since > IDLE_FOR:
            self._idle.pop(0).abort()

    def close(self) -> None:
        """Close idle connections and keep none from now on; running calls go on."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    def returned(self, connection: Connection) -> None:
        """Take a connection back."""
        if self._closed:
            connection.abort()
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        if connection in self._idle:
            self._idle.remove(connection)

    async def _connect(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), self.host, self.port
                )
        except OSError as error:  # TimeoutError is one
            what = f"does not accept connections ({error or 'timeout'})"
            if call.caller is not None:
                call.caller.answer_broke(what, "refused")
            return
        if call.caller is None:
            connection.idle_since = monotonic()
            self.returned(connection)
        else:
            connection.carry(call)
