"""Asks a fleet that is up: what `headrace status`, `scale`, `down`, `logs` and `gateway` call.

The other end is `supervisor.py`, the messages are in `control.py`; `rollout_client.py` has what
concerns rollouts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from headrace.local import control, logs
from headrace.local.errors import LocalError
from headrace.local.state import StateDir, holder
from headrace.view.status import FleetStatus

_LIMIT = 1 << 24
_PAUSE = 0.1
_PATIENCE = 3.0


class NotUpError(LocalError):
    """No fleet answers there; the message says what to do."""


class RefusedError(LocalError):
    """The fleet did not do it; the message says why."""


async def status(state: StateDir) -> FleetStatus:
    """Return the fleet's status; NotUpError if it is not up."""
    reply = await ask(state, control.GetStatus())
    if not isinstance(reply, control.StatusAnswer):
        raise RefusedError(f"an unexpected answer: {reply}")
    return reply.status


async def scale(state: StateDir, deployment: str, replicas: int | None) -> None:
    """Fix a deployment's count (None: by its rules again); NotUpError, RefusedError."""
    await ask(state, control.Scale(deployment, replicas))


async def wait_ready(state: StateDir) -> None:
    """Return when the fleet serves; NotUpError, RefusedError if it ended instead."""
    await ask(state, control.WaitReady())


async def replace_gateway(state: StateDir) -> control.GatewayReplaced:
    """Replace the gateway and return when the new one serves; NotUpError, RefusedError."""
    reply = await ask(state, control.ReplaceGateway())
    if not isinstance(reply, control.GatewayReplaced):
        raise RefusedError(f"an unexpected answer: {reply}")
    return reply


async def down(state: StateDir) -> None:
    """End the fleet and return when nothing of it is left; NotUpError if it was not up.

    Requests in flight are finished first, within their deployment's drain.
    """
    await ask(state, control.Down())
    while holder(state) is not None:  # noqa: ASYNC110 - another process sets no event here
        await asyncio.sleep(_PAUSE)


async def follow_log(state: StateDir, name: str, *, follow: bool) -> AsyncIterator[str]:
    """Yield the log of a replica (`chat-1`) or of `gateway`: its last lines, then new ones."""
    log = _log(state, name)
    for line in logs.tail(log):
        yield line
    if follow:
        async for line in logs.follow(log, from_end=True):
            yield line


def log_names(state: StateDir) -> list[str]:
    """Return the names that `follow_log` knows."""
    return sorted(path.stem for path in state.logs.glob("*.log"))


def _log(state: StateDir, name: str) -> Path:
    if name not in log_names(state):
        known = ", ".join(log_names(state)) or "none yet"
        raise RefusedError(f"no log is named '{name}'; known: {known}")
    return state.logs / f"{name}.log"


async def ask(state: StateDir, request: control.Request) -> control.Reply:
    """Return the fleet's answer; NotUpError, RefusedError."""
    reader, writer = await _connect(state)
    try:
        writer.write(control.encode(request))
        line = await reader.readline()
    except OSError as error:
        raise NotUpError("the fleet ended meanwhile") from error
    finally:
        writer.close()
    if not line:
        raise NotUpError("the fleet ended meanwhile")
    reply: control.Reply = control.decode_reply(line)
    if isinstance(reply, control.Refused):
        raise RefusedError(reply.why)
    return reply


async def _connect(state: StateDir) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect; a fleet that is just starting gets a moment to listen."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return await asyncio.open_unix_connection(state.socket, limit=_LIMIT)
        except OSError as error:
            if holder(state) is None or time.monotonic() > deadline:
                raise NotUpError(_not_up(state)) from error
        await asyncio.sleep(_PAUSE)


def _not_up(state: StateDir) -> str:
    who = holder(state)
    if who is None:
        broken = " (it ended in the middle of a rollout)" if state.rollout.exists() else ""
        return f"this fleet is not up{broken}; start it with `headrace up`"
    return f"process {who.pid} is still preparing or ending this fleet; try again in a moment"
