"""The twin as a process: a start that takes its time, service, and its engine's manners at SIGTERM.

`headrace.emulation.faces` has the manners of each engine.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from typing import TextIO

from headrace.emulation.behaviour import Behaviour, Crash
from headrace.emulation.engine import TwinEngine
from headrace.emulation.faces.base import Face
from headrace.emulation.http import Server
from headrace.emulation.log import last_words


@dataclass(frozen=True)
class Start:
    """Where a twin listens, and how its start goes; `startup` in seconds."""

    port: int
    host: str = "127.0.0.1"
    startup: float = 0.0
    ready: bool = True
    """Otherwise its port never opens."""
    crash: Crash | None = None
    """What it dies of instead."""


async def serve(
    face: type[Face], behaviour: Behaviour, start: Start, out: TextIO = sys.stdout
) -> int:
    """Start as the engine does and serve until a signal; return the exit status."""
    twin, server = face(TwinEngine(behaviour)), Server()
    port = start.port
    stopped = asyncio.Event()
    if twin.listens_early:
        twin.starting = True
        port = await _open(twin, server, start, stopped)
    await _load(twin.phases(start.host, port)[:-1], start.startup, out)
    if start.crash:
        print("\n".join(last_words(start.crash)), file=out, flush=True)
        return 1
    if not start.ready:
        await asyncio.Event().wait()
    if not twin.listens_early:
        port = await _open(twin, server, start, stopped)
    twin.starting = False
    print(twin.phases(start.host, port)[-1], file=out, flush=True)
    await stopped.wait()
    await twin.stop(server)
    await server.close()
    return 0


async def _load(lines: list[str], startup: float, out: TextIO) -> None:
    """Print the phases of the start, at equal distances."""
    for line in lines:
        print(line, file=out, flush=True)
        await asyncio.sleep(startup / len(lines))


async def _open(twin: Face, server: Server, start: Start, stopped: asyncio.Event) -> int:
    """Listen, and from now on let signals begin the stop; return the port.

    A second signal changes nothing, as with the real ones.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return await twin.listen(server, start.host, start.port)
