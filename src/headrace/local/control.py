"""The control socket: how `headrace status`, `scale`, `rollout` … talk to a fleet that is up.

One JSON line asks, one JSON line answers. The socket lies in a folder that only its user may enter,
and the other end's user is checked all the same. `supervisor.py` answers, `client.py` asks.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from headrace.view.status import FleetStatus, RolloutState

_LIMIT = 1 << 20


class GetStatus(msgspec.Struct, frozen=True, tag="status"):
    """Ask for the fleet's status."""


class Scale(msgspec.Struct, frozen=True, tag="scale"):
    """Fix a deployment at `replicas`; None hands it back to its scaling rules."""

    deployment: str
    replicas: int | None


class Down(msgspec.Struct, frozen=True, tag="down"):
    """Drain and end; answered at once."""


class WaitReady(msgspec.Struct, frozen=True, tag="wait-ready"):
    """Answered when every deployment that can serve does."""


class ReplaceGateway(msgspec.Struct, frozen=True, tag="replace-gateway"):
    """Start another gateway and let the present one finish; answered when the new one serves."""


class Rollout(msgspec.Struct, frozen=True, tag="rollout"):
    """Move the fleet to a file; `watch` (seconds) replaces each deployment's own.

    Answered with the plan as soon as the rollout has begun.
    """

    file: str
    watch: float | None = None


class UndoRollout(msgspec.Struct, frozen=True, tag="undo-rollout"):
    """Return to the file before the rollout that is under way, or before the last one."""


class PauseRollout(msgspec.Struct, frozen=True, tag="pause-rollout"):
    """Take no further step."""


class ResumeRollout(msgspec.Struct, frozen=True, tag="resume-rollout"):
    """Go on with a rollout that was paused."""


class FollowRollout(msgspec.Struct, frozen=True, tag="follow-rollout"):
    """Ask for the steps after the first `after`; answered when there are any, or nothing moves."""

    after: int = 0


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """Serve the edited file from now on; answered when it is done, or refused whole."""

    file: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was done, or begun."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It was not done; `why` says why, for a person."""

    why: str


RolloutRequest = Rollout | UndoRollout | PauseRollout | ResumeRollout | FollowRollout | Reload
Request = GetStatus | Scale | Down | WaitReady | ReplaceGateway | RolloutRequest


class StatusAnswer(msgspec.Struct, frozen=True, tag="status"):
    """The fleet's status."""

    status: FleetStatus


class GatewayReplaced(msgspec.Struct, frozen=True, tag="gateway-replaced"):
    """`old` handed over to `new` (process ids) and finishes `requests` of its own."""

    old: int | None
    new: int
    requests: int


class RolloutBegun(msgspec.Struct, frozen=True, tag="rollout-begun"):
    """The plan, a line for each change; without lines there was nothing to do."""

    plan: tuple[str, ...]


class ReloadDone(msgspec.Struct, frozen=True, tag="reload-done"):
    """What has changed, a line for each part; without lines the file says what was served."""

    lines: tuple[str, ...]


class RolloutNews(msgspec.Struct, frozen=True, tag="rollout-news"):
    """The steps that were asked for, and where the rollout stands after them."""

    lines: tuple[str, ...]
    state: RolloutState


Reply = StatusAnswer | GatewayReplaced | RolloutBegun | RolloutNews | ReloadDone | Done | Refused
Respond = Callable[[Request], Awaitable[Reply]]

_decode_request = msgspec.json.Decoder(Request).decode
decode_reply = msgspec.json.Decoder(Reply).decode


def encode(message: Request | Reply) -> bytes:
    """Return the message as one line."""
    return msgspec.json.encode(message) + b"\n"


async def listen(path: Path, respond: Respond) -> asyncio.Server:
    """Serve the control socket at `path`, in a folder of mode 0700."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _is_ours(writer):
                await _converse(reader, writer, respond)
        except (ConnectionError, ValueError):
            pass  # the other side went away, or sent a line without end
        except asyncio.CancelledError:
            pass  # the fleet has ended; Python 3.11 would report this as a defect
        finally:
            writer.close()

    return await asyncio.start_unix_server(talk, path, limit=_LIMIT)


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, respond: Respond
) -> None:
    async for line in reader:
        writer.write(encode(await _reply(line, respond)))
        await writer.drain()


async def _reply(line: bytes, respond: Respond) -> Reply:
    try:
        request = _decode_request(line)
    except msgspec.MsgspecError as error:
        return Refused(f"not understood: {error}; do both sides have the same Headrace version?")
    return await respond(request)


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    peer: socket.socket = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid in {os.getuid(), 0})
