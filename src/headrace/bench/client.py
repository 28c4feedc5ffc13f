"""Sends requests over connections of its own and keeps those that can be used again.

One per process. `sender.py` says when; what comes back is read in `connection.py` and `reply.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from time import monotonic

from headrace.bench.answers import Failure
from headrace.bench.asks import Ask
from headrace.bench.connection import Connection, Desk
from headrace.bench.exchange import OWN, Exchange
from headrace.bench.load import Load
from headrace.bench.target import Place, Target, place

_STALE = 4.0
"""Seconds after which a free connection is not used again: uvicorn closes them after 5."""
_OWN = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
"""Why no connection opens although the server would take it."""
_LOOKS, _RAREST_LOOK = 8, 1.0
"""How often within its patience, and at least every second, a silent stream is looked for."""


class Client:
    """Sends requests; `ended` hears of each that is over, once."""

    def __init__(self, target: Target, load: Load, ended: Callable[[Exchange], None]) -> None:
        self._place = place(target.address)
        self._load = load
        self._ended = ended
        self._desk = Desk()
        self._tls = ssl.create_default_context() if self._place.tls else None
        self._free: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._addresses: list[str] = []
        self.open: set[Exchange] = set()
        """Requests in flight."""

    async def prepare(self) -> None:
        """Look the host's name up, once: that is no part of any latency."""
        with contextlib.suppress(OSError):  # then no connection opens, and each answer says so
            self._addresses = await _resolve(self._place)

    async def watch(self) -> None:
        """Give up on streams that are silent for too long, until cancelled."""
        patience = self._load.patience
        while True:
            await asyncio.sleep(min(patience / _LOOKS, _RAREST_LOOK))
            now = monotonic()
            for exchange in [one for one in self.open if now - one.latest > patience]:
                exchange.give_up(Failure.SILENT, f"nothing came for {patience:g} s")

    def send(self, ask: Ask, due: float, request: bytes, *, keep_text: bool) -> Exchange:
        """Send a request now and return it; it was due at `due` on the monotonic clock."""
        exchange = Exchange(
            ask, due, request, keep_text=keep_text, ended=self._over, again=self._connect
        )
        self.open.add(exchange)
        connection = self._take()
        if connection is None:
            self._connect(exchange)
        else:
            exchange.go(connection, kept=True)
        return exchange

    def stop(self) -> None:
        """End everything in flight as stopped."""
        for exchange in list(self.open):
            exchange.give_up(Failure.STOPPED, "the run was ended")

    def close(self) -> None:
        """Close all connections."""
        self.stop()
        for task in self._opening:
            task.cancel()
        for connection in self._free:
            connection.close()
        self._free.clear()

    def _take(self) -> Connection | None:
        fresh = monotonic() - _STALE
        while self._free:
            connection = self._free.pop()
            if connection.usable and connection.free_since > fresh:
                return connection
            connection.close()
        return None

    def _connect(self, exchange: Exchange) -> None:
        task = asyncio.create_task(self._connect_and_send(exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect_and_send(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self._load.patience):
                connection = await self._opened(exchange)
        except TimeoutError:
            exchange.give_up(Failure.UNREACHABLE, f"no connection in {self._load.patience:g} s")
        except OSError as error:
            own = OWN if error.errno in _OWN else ""
            exchange.give_up(Failure.UNREACHABLE, own + _words(error))
        else:
            if exchange in self.open:
                exchange.go(connection, kept=False)
            else:
                connection.close()  # it was ended meanwhile

    async def _opened(self, exchange: Exchange) -> Connection:
        """Return a connection to the first address that takes one; OSError if none does."""
        problem = OSError(f"no address is known for '{self._place.host}'")
        for address in list(self._addresses):
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self._desk, exchange),
                    address,
                    self._place.port,
                    ssl=self._tls,
                    server_hostname=self._place.host if self._tls else None,
                )
            except OSError as error:
                problem = error
                continue
            if address != self._addresses[0]:  # the others would fail every time
                self._addresses = [address]
            return connection
        raise problem

    def _over(self, exchange: Exchange, connection: Connection | None) -> None:
        if exchange not in self.open:
            return
        self.open.discard(exchange)
        if connection is not None and self._load.reuse and connection.usable:
            connection.free_since = monotonic()
            self._free.append(connection)
        elif connection is not None:
            connection.close()
        self._ended(exchange)


async def _resolve(where: Place) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(
        where.host, where.port, type=socket.SOCK_STREAM
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _words(error: OSError) -> str:
    """Say why there is no connection; of TLS in words, not in OpenSSL's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message} (SSL_CERT_FILE names more)"
    if isinstance(error, ssl.SSLError):
        return f"no TLS could be agreed on: {error.reason or error}; is it http and not https?"
    return error.strerror or str(error)
