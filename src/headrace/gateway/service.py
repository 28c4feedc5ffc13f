"""One gateway process: its listening socket, its link to the runtime, its end.

`run` is the whole life: take the first messages, serve, drain, leave. The runtime speaks first
(`Configure`, then `Replicas`) and is obeyed; when its end of the socket closes it has died, and
the gateway finishes what it has accepted and leaves too.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from headrace.gateway import control
from headrace.gateway.dispatch import Tell
from headrace.gateway.gateway import Gateway, Timing
from headrace.gateway.server import Client
from headrace.gateway.upstream import Connection

DRAIN_TIMEOUT = 30.0
"""Seconds to finish running work when nobody said how long."""
_SETTLE = 0.1
"""Seconds in which a connection that was accepted just before a drain shows up."""
_MAX_UNREAD = 1024 * 1024
"""Bytes that may wait for a runtime that does not read; then demand is left out, not stored."""
_TICK = 1.0


class Link(asyncio.Protocol):
    """The control socket: messages in, demand and faults out."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._partial = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Obey whole lines."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            try:
                message = control.decode_to_gateway(line)
            except msgspec.MsgspecError as error:
                sys.stderr.write(f"gateway: control message not understood: {error}\n")
            else:
                self._service.obey(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Finish and leave: the runtime is gone."""
        self._transport = None
        self._service.drain(self._service.drain_timeout)

    def tell(self, message: control.FromGateway) -> None:
        """Send a message; one that nobody reads is dropped."""
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() < _MAX_UNREAD:
            transport.write(control.encode(message))


class Service:
    """A gateway on a socket, with metrics and health on a second one if `admin` is given.

    A runtime in the same process gets the gateway's messages by `hear`; it has no link.
    """

    def __init__(
        self, listener: socket.socket, link: socket.socket | None, *,
        admin: socket.socket | None = None, drain_timeout: float = DRAIN_TIMEOUT,
        timing: Timing | None = None, hear: Tell | None = None,
    ) -> None:  # fmt: skip
        self.drain_timeout = drain_timeout
        self._listener = listener
        self._admin = admin
        self._link_socket = link
        self._link = Link(self)
        self._tell = hear or self._link.tell
        self.gateway = Gateway(self._tell, timing)
        self.gateway.has_admin = admin is not None
        self._server: asyncio.AbstractServer | None = None
        self._admin_server: asyncio.AbstractServer | None = None
        self._drain_end: float | None = None
        self._limit: asyncio.Timeout | None = None
        self._told = asyncio.Event()
        self._end = asyncio.Event()

    async def run(self, messages: Iterable[control.ToGateway] = ()) -> None:
        """Serve until told to drain, by message, by signal or by the end of the link."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_own_mistake)
        self._handle_signals(loop)
        for message in messages:
            self.obey(message)
        self._admin_server = await self._serve_admin(loop)
        if self._link_socket is not None:
            await loop.create_connection(lambda: self._link, sock=self._link_socket)
            await self._told.wait()  # a client that came sooner would find no model here
        self._server = await loop.create_server(
            lambda: Client(self.gateway), sock=self._listener, backlog=4096
        )
        host, port = self._listener.getsockname()[:2]
        self._tell(control.Listening(host=host, port=port))
        tasks = [loop.create_task(self._tick()), loop.create_task(self._write_records())]
        await self._end.wait()
        self._close_servers()  # again, should the drain have come before they were there
        await self._finish()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        if self._admin_server is not None:
            self._admin_server.close()
        self.gateway.stop()

    async def _serve_admin(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractServer | None:
        """Serve metrics and health from before the first client on."""
        if self._admin is None:
            return None
        return await loop.create_server(
            lambda: Client(self.gateway, admin=True), sock=self._admin, backlog=64
        )

    def obey(self, message: control.ToGateway) -> None:
        """Carry out a message of the runtime."""
        match message:
            case control.Configure():
                self.gateway.configure(message)
                self._told.set()
            case control.Replicas():
                self.gateway.set_replicas(message)
            case control.Drain():
                self.drain(message.timeout)

    def drain(self, timeout: float) -> None:
        """Take nothing new, finish what runs for at most `timeout` seconds, end.

        Called again, the earlier end counts. The runtime hears of it at once, so that another
        gateway serves new clients while this one finishes.
        """
        end = asyncio.get_running_loop().time() + timeout
        if self._drain_end is None:
            self._close_servers()
            self._drain_end = end
            self.gateway.drain()
            self._tell(control.Draining())
            self._told.set()
            self._end.set()
        elif end < self._drain_end:
            self._drain_end = end
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(end)

    def _close_servers(self) -> None:
        """Take no more clients; under a runtime the next gateway answers for metrics too."""
        if self._server is not None:
            self._server.close()
        if self._admin_server is not None and self._link_socket is not None:
            self._admin_server.close()

    async def _finish(self) -> None:
        """Wait until no client is left or time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._drain_end) as self._limit:
                await asyncio.sleep(_SETTLE)
                while self.gateway.clients:
                    self.gateway.empty.clear()
                    await self.gateway.empty.wait()
        self._limit = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.gateway.tick()

    async def _write_records(self) -> None:
        while True:
            await self.gateway.log.write_soon()

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """SIGTERM drains. Ctrl-C reaches the whole process group: under a runtime it decides."""
        loop.add_signal_handler(signal.SIGTERM, self.drain, self.drain_timeout)
        if self._link_socket is None:
            loop.add_signal_handler(signal.SIGINT, self.drain, self.drain_timeout)
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _own_mistake(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what our own code raised in a callback, and end what it was about."""
    loop.default_exception_handler(context)
    protocol = context.get("protocol")
    if isinstance(protocol, Connection):
        protocol.crashed()
