"""Tasks that nobody waits for, and whose defects are said all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


def started(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    """Return a task; what it raises goes to the event loop's handler at once."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_say)
    return task


def _say(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "a defect of ours", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
