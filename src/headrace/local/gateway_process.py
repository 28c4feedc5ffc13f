"""One gateway process and the socket over which it is told what to serve.

It inherits the listening sockets, so any number of gateways can serve the same address. Which one
is the newest, and when another is needed, is the business of `gateway_link.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headrace.gateway import control
from headrace.local import logs

COMMAND = (sys.executable, "-P", "-m", "headrace.gateway")
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Sockets:
    """Where a fleet listens: for clients, and for those who run it (`/metrics`)."""

    public: socket.socket
    admin: socket.socket

    def close(self) -> None:
        """Close our copies: when no gateway has one either, clients are refused."""
        self.public.close()
        self.admin.close()


class GatewayProcess:
    """A gateway that runs; `listening` is set when it serves, `ended` when it is gone."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.pid = process.pid
        self.began = time.monotonic()
        self.listening = asyncio.Event()
        self.ended = asyncio.Event()
        self._process, self._reader, self._writer = process, reader, writer

    def send(self, message: control.ToGateway) -> None:
        """Tell it something, if it is still there."""
        if not self._writer.is_closing():
            self._writer.write(control.encode(message))

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def live(self, hear: Callable[[control.FromGateway], None]) -> int | str:
        """Pass on what it says until it has ended; return its exit status, or what it did wrong.

        When this is cancelled, no gateway is left behind.
        """
        try:
            wrong = await self._listen(hear)
            return wrong or await self._process.wait()
        finally:
            self._writer.close()
            if self._process.returncode is None:
                self.kill()
                await self._process.wait()
            self.ended.set()

    async def _listen(self, hear: Callable[[control.FromGateway], None]) -> str:
        while True:
            try:
                line = await self._reader.readline()
                if not line:
                    return ""
                message = control.decode_from_gateway(line)
            except ConnectionError:  # also when writing to it has failed
                return ""
            except (msgspec.MsgspecError, ValueError) as error:  # ValueError: a line without end
                return f"it sent something that is no message: {error}"
            hear(message)


async def start(command: Sequence[str], sockets: Sockets, log: Path) -> GatewayProcess:
    """Start a gateway on the sockets; it writes to a fresh `log`."""
    ours, theirs = socket.socketpair()
    fds = (theirs.fileno(), sockets.public.fileno(), sockets.admin.fileno())
    names = ("--control-fd", "--listen-fd", "--admin-fd")
    with theirs, logs.renew(log).open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            *(part for name, fd in zip(names, fds, strict=True) for part in (name, str(fd))),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=fds,
            start_new_session=True,
        )
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_LINE)
    return GatewayProcess(process, reader, writer)
