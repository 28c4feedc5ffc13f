"""The supervisor's end of a keeper: start an engine, tell it to stop, learn how it ended.

`keeper.py` is the other end. `replica.py` decides when to start and stop.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.local.errors import LocalError

_KEEPER = Path(__file__).with_name("keeper.py")
KILLED = -9
"""The exit status told when the keeper was killed, which kills the engine."""


class StartError(LocalError):
    """The engine's program could not be started; the message says why."""


@dataclass(frozen=True)
class Program:
    """What a keeper starts; `grace` is seconds from SIGTERM to SIGKILL."""

    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    grace: float


class Kept:
    """A running engine: `pid` is its first process; `exit` its status; `gone`: nothing is left."""

    def __init__(
        self, pid: int, link: tuple[asyncio.StreamReader, asyncio.StreamWriter], keeper: Any
    ) -> None:
        self.pid = pid
        self._reader, self._writer = link
        self._keeper: asyncio.subprocess.Process = keeper
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.gone = asyncio.ensure_future(self._listen())

    def terminate(self) -> None:
        """Ask the engine to stop; all that is left after the program's grace is killed."""
        self._say(b"term\n")

    def kill(self) -> None:
        """Kill the engine and everything it started, now."""
        self._say(b"kill\n")

    def _say(self, command: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(command)

    async def _listen(self) -> None:
        try:
            async for line in self._reader:
                self.exit.set_result(int(json.loads(line)["exit"]))
        except ConnectionError:
            pass  # the keeper ended, or was killed, with our words unread
        finally:
            self._writer.close()
        await self._keeper.wait()
        if not self.exit.done():
            self.exit.set_result(KILLED)


async def start(program: Program) -> Kept:
    """Start a program under a keeper of its own; StartError says why it could not be."""
    ours, theirs = socket.socketpair()
    try:
        with theirs, program.log.open("ab") as log:
            keeper = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_KEEPER)),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
    except BaseException:  # cancellation included: a keeper without us ends
        ours.close()
        raise
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        writer.write(_line(program))
        pid = _started(await _first_answer(reader))
    except BaseException:  # cancellation included: nothing may outlive this call
        writer.close()  # which tells the keeper to stop what it may have started
        await keeper.wait()
        raise
    return Kept(pid, (reader, writer), keeper)


def _started(answer: dict[str, Any]) -> int:
    if "pid" not in answer:
        raise StartError(answer.get("failed", "the keeper ended before it started the engine"))
    return int(answer["pid"])


async def _first_answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        line = await reader.readline()
    except ConnectionResetError:
        line = b""
    answer: dict[str, Any] = json.loads(line) if line else {}
    return answer


def _line(program: Program) -> bytes:
    spec = {
        "argv": list(program.argv),
        "env": dict(program.env),
        "log": str(program.log),
        "grace": program.grace,
    }
    return json.dumps(spec).encode() + b"\n"
