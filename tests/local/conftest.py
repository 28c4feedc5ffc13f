import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fleet_kit import QUICK, Recorder, Running, ScriptLoader, Up, write_fleet

from headrace.local.gateway_process import COMMAND
from headrace.local.reserve import listening, locked
from headrace.local.stopping import Urgency
from headrace.local.supervisor import Supervisor


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    """Bring fleets up in this process; at the end nothing of them is left."""
    async with AsyncExitStack() as stack:

        async def start(mode: str = "good", **given: Any) -> Running:
            return await stack.enter_async_context(_running(tmp_path, mode, given))

        yield start


@asynccontextmanager
async def _running(folder: Path, mode: str, given: dict[str, Any]) -> AsyncIterator[Running]:
    command = given.pop("gateway_command", COMMAND)
    pace = given.pop("pace", QUICK)
    file = write_fleet(folder, **given)
    (folder / "mode").write_text(mode)
    made: asyncio.Future[Running] = asyncio.get_running_loop().create_future()

    async def live() -> int:
        display = Recorder()
        with locked(file, folder / "s") as (state, lock), listening(file, state, lock) as reserved:
            loader = ScriptLoader()
            supervisor = Supervisor(
                loader.edition(file), reserved, display, loader, pace=pace, gateway_command=command
            )
            made.set_result(
                Running(supervisor, display, reserved.address, task, folder, reserved.state, loader)
            )
            return await supervisor.run()

    task = asyncio.create_task(live())
    running = await made
    try:
        yield running
    finally:
        if not task.done():
            running.supervisor.hurry(Urgency.KILL)
        await asyncio.wait([task])
