"""The gateway process as the supervisor sees it: started, told, listened to, started again.

The listening socket outlives the gateway: it is bound once (`ports.py`) and each gateway inherits
it, so clients that connect while one is being replaced wait instead of being refused.
`headrace.gateway.control` has the messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from headrace.gateway import control
from headrace.local import logs
from headrace.local.errors import LocalError
from headrace.local.events import Emit, event

COMMAND = (sys.executable, "-P", "-m", "headrace.gateway")
_QUICK = 10.0
"""Seconds; a gateway that ends sooner counts towards giving up."""
_TRIES = 5
_PAUSE = 0.3
_LONGEST_LINE = 1 << 20


class GatewayError(LocalError):
    """The gateway does not stay up; the message has the end of its log."""


class GatewayLink:
    """Keeps a gateway running; `hear` gets its messages, and None when it is gone."""

    def __init__(
        self,
        listening: socket.socket,
        configure: control.Configure,
        log: Path,
        hear: Callable[[control.FromGateway | None], None],
        *,
        emit: Emit,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._listening, self._configure, self._log = listening, configure, log
        self._hear, self._emit, self._command = hear, emit, command
        self._replicas: dict[str, control.Replicas] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._draining: float | None = None

    @property
    def pid(self) -> int | None:
        """The gateway's process id while it runs."""
        return self._process.pid if self._process else None

    def tell(self, replicas: control.Replicas) -> None:
        """Pass on a deployment's replicas, now and to each later gateway."""
        if self._replicas.get(replicas.deployment) != replicas:
            self._replicas[replicas.deployment] = replicas
            self._send(replicas)

    def drain(self, timeout: float) -> None:
        """Have the gateway finish what runs, for at most `timeout` seconds, and end.

        Our copy of the socket is closed, so that new clients are refused instead of left waiting.
        """
        self._draining = timeout
        self._listening.close()
        self._send(control.Drain(timeout=timeout))

    def kill(self) -> None:
        """End the gateway now."""
        self._draining = 0.0
        self._listening.close()
        self._kill()

    async def run(self) -> None:
        """Run gateways until one was told to drain and ended; GatewayError if none stays up."""
        quick = 0
        while self._draining is None:
            began = time.monotonic()
            status = await self._one()
            self._hear(None)
            if self._draining is not None:
                return
            quick = quick + 1 if time.monotonic() - began < _QUICK else 0
            if quick >= _TRIES:
                raise GatewayError(_gave_up(status, self._log))
            self._say(f"ended ({status}); starting it again, connections in flight are lost")
            await asyncio.sleep(_PAUSE)

    async def _one(self) -> int:
        ours, theirs = socket.socketpair()
        with theirs, logs.renew(self._log).open("ab") as log:
            fds = (theirs.fileno(), self._listening.fileno())
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *("--control-fd", str(fds[0]), "--listen-fd", str(fds[1])),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
                start_new_session=True,
            )
        self._process = process
        reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_LINE)
        try:
            self._introduce()
            await self._listen(reader)
            return await process.wait()
        finally:
            self._writer.close()
            self._process = self._writer = None
            await _end(process)

    def _introduce(self) -> None:
        self._send(self._configure)
        for replicas in self._replicas.values():
            self._send(replicas)
        if self._draining is not None:
            self._send(control.Drain(timeout=self._draining))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
                if not line:
                    return
                message = control.decode_from_gateway(line)
            except ConnectionResetError:
                return
            except (msgspec.MsgspecError, ValueError) as error:  # ValueError: a line without end
                self._say(f"sent something that is no message, so it is replaced: {error}")
                self._kill()
                return
            self._hear(message)

    def _kill(self) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _send(self, message: control.ToGateway) -> None:
        if self._writer and not self._writer.is_closing():
            self._writer.write(control.encode(message))

    def _say(self, text: str) -> None:
        self._emit(event("gateway", "gateway", text))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave no gateway behind when the supervisor is cancelled."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _gave_up(status: int, log: Path) -> str:
    words = "\n".join(logs.tail(log, 5))
    return (
        f"the gateway ended {_TRIES} times at once (status {status}); its log {log} ends:\n{words}"
    )
