"""The twin as a process: a start that takes its time, and vLLM's manners when it is told to stop.

As measured on vLLM 0.32.0: without a shutdown timeout the socket closes at once and streams are cut
within 2 s; with one they run on, `/health` stays 200, and whoever comes new gets 200, no text and
`finish_reason: abort`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import FrameType
from typing import TextIO

import uvicorn

from headrace.emulation.api import twin_app
from headrace.emulation.behaviour import Behaviour, Crash
from headrace.emulation.engine import TwinEngine
from headrace.emulation.log import last_words, phases


class TwinServer(uvicorn.Server):
    """A server that drains or cuts when it gets a signal, instead of just closing."""

    def __init__(self, config: uvicorn.Config, engine: TwinEngine) -> None:
        super().__init__(config)
        self._engine = engine
        self._stopping: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal changes nothing, as with the real one."""
        del sig, frame
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self._stopping is None:
            self._stopping = self._loop.create_task(self._stop())

    async def _stop(self) -> None:
        behaviour = self._engine.behaviour
        if behaviour.shutdown_timeout:
            self._engine.draining = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._engine.idle.wait(), behaviour.shutdown_timeout)
            self.should_exit = True
        else:
            self.should_exit = True
            await asyncio.sleep(behaviour.cut_after)
        self._engine.cut()


async def serve(
    behaviour: Behaviour,
    port: int,
    *,
    host: str = "127.0.0.1",
    startup: float = 0.0,
    ready: bool = True,
    crash: Crash | None = None,
    out: TextIO = sys.stdout,
) -> int:
    """Start as vLLM does and serve until a signal; return the exit status. `startup` in seconds."""
    lines = phases(behaviour, port)
    for line in lines[:-1]:
        print(line, file=out, flush=True)
        await asyncio.sleep(startup / len(lines))
    if crash:
        print("\n".join(last_words(crash)), file=out, flush=True)
        return 1
    await asyncio.sleep(startup / len(lines))
    if not ready:
        await asyncio.Event().wait()
    engine = TwinEngine(behaviour)
    app = twin_app(behaviour, engine)
    config = uvicorn.Config(app, host=host, port=port, log_level="error", lifespan="off")
    print(lines[-1], file=out, flush=True)
    await TwinServer(config, engine).serve()
    return 0
