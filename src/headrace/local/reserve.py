"""What a fleet takes before anything starts: its lock and its address.

Both are given back by the kernel when the process ends, however it ends. `supervisor.py` serves on
what was reserved here.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.fleet.load import FleetFile
from headrace.local import ports, strays
from headrace.local.state import Holder, Lock, StateDir, acquire, state_dir

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised, not bound


@dataclass(frozen=True)
class Reserved:
    """A fleet's folder, lock and listening socket; `address` is what clients use."""

    state: StateDir
    lock: Lock
    listening: socket.socket
    address: str


@contextmanager
def locked(file: FleetFile, root: Path | None = None) -> Iterator[tuple[StateDir, Lock]]:
    """Hold the fleet's lock; AlreadyUpError if it is up, StateError if its folder is unusable.

    What a killed run left behind is ended first, so that its memory is free.
    """
    state = state_dir(file.fleet.fleet, file.path, root)
    lock = acquire(state)
    try:
        lock.describe(_holder(file, ""))
        strays.end(strays.find(str(state.path)))
        yield state, lock
    finally:
        lock.release()


@contextmanager
def listening(file: FleetFile, state: StateDir, lock: Lock) -> Iterator[Reserved]:
    """Listen on the gateway's address; PortError says what is in the way."""
    wanted = file.fleet.gateway
    with ports.listen(wanted.host, wanted.port) as sock:
        address = address_of(wanted.host, sock.getsockname()[1])
        lock.describe(_holder(file, address))
        yield Reserved(state, lock, sock, address)


def address_of(host: str, port: int) -> str:
    """Return the base URL that an OpenAI client needs."""
    shown = _ANYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/v1"


def _holder(file: FleetFile, address: str) -> Holder:
    return Holder(
        pid=os.getpid(),
        since=time.time(),
        fleet=file.fleet.fleet,
        file=str(file.path),
        address=address,
    )
