"""Connections that note when bytes came before anything else is done with them.

A reading client falsifies times twice: it parses before it looks at the clock, and while it parses
one stream the bytes of others wait. So `data_received` takes the time and nothing else, for every
stream that has something, and only then the `Desk` reads, for a bounded time before it looks at the
sockets again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Protocol, cast

from headrace.bench.reply import Reply

_TURN = 0.001
"""Seconds that the desk reads before the sockets have their turn."""
_MOST_UNREAD = 1 << 20
"""Bytes of one connection that may wait to be read; then its sender has to."""


class User(Protocol):
    """Whose answer a connection brings."""

    reply: Reply

    def lost(self, connection: Connection, why: str) -> None:
        """Hear that the connection is gone, and that all that came on it has been read."""

    def over(self, connection: Connection) -> None:
        """Hear that the reply is over."""


class Desk:
    """Reads what came, connection by connection, when all sockets have been emptied."""

    def __init__(self) -> None:
        self._waiting: deque[Connection] = deque()
        self._called = False
        self._loop = asyncio.get_running_loop()

    def put(self, connection: Connection) -> None:
        """Read what the connection has, soon."""
        self._waiting.append(connection)
        if not self._called:
            self._called = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        until = monotonic() + _TURN
        try:
            while self._waiting:
                self._waiting.popleft().read()
                if monotonic() > until:
                    break
        finally:
            self._called = bool(self._waiting)
            if self._called:
                self._loop.call_soon(self._read)


class Connection(asyncio.Protocol):
    """One connection; it has one `user` at a time."""

    __slots__ = (
        "_arrived",
        "_desk",
        "_lost",
        "_paused",
        "_unread",
        "free_since",
        "transport",
        "user",
    )

    def __init__(self, desk: Desk, user: User) -> None:
        self.user: User | None = user
        self.transport: asyncio.Transport | None = None
        self.free_since = 0.0
        self._desk = desk
        self._arrived: list[tuple[float, bytes]] = []
        self._unread = 0
        self._paused = False
        self._lost: str | None = None

    @property
    def usable(self) -> bool:
        """Whether another request can go over it: open, and nothing came that nobody asked for."""
        open_ = self.transport is not None and not self.transport.is_closing()
        return open_ and self._lost is None and not self._arrived

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Note what came and when; runs once for every chunk of every stream."""
        now = monotonic()
        if not self._arrived:
            self._desk.put(self)
        self._arrived.append((now, data))
        self._unread += len(data)
        if self._unread > _MOST_UNREAD and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note how it ended; its user hears of it when all that came before has been read."""
        self._lost = f"{type(exc).__name__}: {exc}" if exc else ""
        if not self._arrived:
            self._desk.put(self)

    def read(self) -> None:
        """Give the user's reply what came."""
        arrived, self._arrived = self._arrived, []
        self._unread = 0
        user = self.user
        if user is None:
            self.close()
            return
        reply = user.reply
        for at, data in arrived:
            reply.feed(at, data)
            if reply.over:
                break
        if reply.over:
            reply.keep_alive = reply.keep_alive and at == arrived[-1][0] and not self._paused
            user.over(self)
        else:
            self._go_on(user)

    def _go_on(self, user: User) -> None:
        if self._lost is not None:
            user.lost(self, self._lost)
        elif self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    def close(self) -> None:
        """Let go of it, whatever it still brings."""
        self.user = None
        if self.transport is not None:
            self.transport.abort()
