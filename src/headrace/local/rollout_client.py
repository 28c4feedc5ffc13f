"""Asks a fleet that is up to serve another file: what `headrace rollout` and `reload` call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headrace.local import control
from headrace.local.client import RefusedError, ask
from headrace.local.state import StateDir
from headrace.view.status import RolloutState


async def rollout(state: StateDir, file: Path, watch: float | None = None) -> tuple[str, ...]:
    """Begin to move the fleet to the file (an absolute path); return the plan, if any.

    An empty plan means that there is nothing to do. NotUpError, RefusedError: nothing has changed.
    """
    return await _begin(state, control.Rollout(str(file), watch))


async def reload(state: StateDir, file: Path) -> tuple[str, ...]:
    """Have the fleet serve the edited file (an absolute path) at once; return what has changed.

    NotUpError, RefusedError: nothing has changed.
    """
    reply = await ask(state, control.Reload(str(file)))
    if not isinstance(reply, control.ReloadDone):
        raise RefusedError(f"an unexpected answer: {reply}")
    return reply.lines


async def undo_rollout(state: StateDir) -> tuple[str, ...]:
    """Begin to return to the file before; return the plan; NotUpError, RefusedError."""
    return await _begin(state, control.UndoRollout())


async def pause_rollout(state: StateDir) -> None:
    """Have the rollout take no further step; NotUpError, RefusedError if none is under way."""
    await ask(state, control.PauseRollout())


async def resume_rollout(state: StateDir) -> None:
    """Have a paused rollout go on; NotUpError, RefusedError if none is paused."""
    await ask(state, control.ResumeRollout())


async def follow_rollout(state: StateDir, tell: Callable[[str], None]) -> RolloutState:
    """Tell each step of the rollout until it moves no more; return how it ended, or `paused`."""
    after = 0
    while True:
        news = await ask(state, control.FollowRollout(after))
        if not isinstance(news, control.RolloutNews):
            raise RefusedError(f"an unexpected answer: {news}")
        for line in news.lines:
            tell(line)
        after += len(news.lines)
        if news.state not in {"running", "returning"}:
            return news.state


async def _begin(state: StateDir, request: control.Request) -> tuple[str, ...]:
    reply = await ask(state, request)
    if not isinstance(reply, control.RolloutBegun):
        raise RefusedError(f"an unexpected answer: {reply}")
    return reply.plan
