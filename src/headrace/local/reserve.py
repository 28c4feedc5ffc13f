"""What a fleet takes before anything starts: its lock and its addresses.

All are given back by the kernel when the process ends, however it ends. `supervisor.py` serves on
what was reserved here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.fleet.load import FleetFile
from headrace.fleet.types import Gateway
from headrace.local import ports, strays
from headrace.local.errors import LocalError
from headrace.local.gateway_process import Sockets
from headrace.local.state import Holder, Lock, StateDir, acquire, state_dir

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised, not bound


class AddressError(LocalError):
    """The fleet cannot listen; `errors` has one reason for each of its addresses that is bad."""

    def __init__(self, errors: Sequence[ports.PortError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


@dataclass(frozen=True)
class Reserved:
    """A fleet's folder, lock and listening sockets; `address` is what clients use."""

    state: StateDir
    lock: Lock
    sockets: Sockets
    address: str
    admin: str
    """Base URL of /metrics."""


@contextmanager
def locked(file: FleetFile, root: Path | None = None) -> Iterator[tuple[StateDir, Lock]]:
    """Hold the fleet's lock; AlreadyUpError if it is up, StateError if its folder is unusable.

    What a killed run left behind is ended first, so that its memory is free.
    """
    state = state_dir(file.fleet.fleet, file.path, root)
    lock = acquire(state)
    try:
        lock.describe(holder_of(file, "", lock.since))
        strays.end(strays.find(str(state.path)))
        yield state, lock
    finally:
        lock.release()


@contextmanager
def listening(file: FleetFile, state: StateDir, lock: Lock) -> Iterator[Reserved]:
    """Listen on the gateway's addresses; AddressError says what is in the way of each."""
    wanted = file.fleet.gateway
    with ExitStack() as stack:
        sockets = _bind(wanted)
        stack.callback(sockets.close)
        address = address_of(wanted.host, sockets.public.getsockname()[1])
        admin = address_of(wanted.admin_host, sockets.admin.getsockname()[1]).removesuffix("/v1")
        lock.describe(holder_of(file, address, lock.since))
        yield Reserved(state, lock, sockets, address, admin)


def _bind(wanted: Gateway) -> Sockets:
    """Bind both addresses, or say what is wrong with each."""
    places = ((wanted.host, wanted.port, ""), (wanted.admin_host, wanted.admin_port, "admin_"))
    bound, errors = [], []
    if (wanted.host, wanted.port) == (wanted.admin_host, wanted.admin_port) and wanted.port:
        same = f"{wanted.port} is gateway.port too; metrics need an address of their own"
        raise AddressError([ports.PortError(same, "admin_port")])
    for host, port, prefix in places:
        try:
            bound.append(ports.listen(host, port, prefix))
        except ports.PortError as error:
            errors.append(error)
    if errors:
        for sock in bound:
            sock.close()
        raise AddressError(errors)
    return Sockets(*bound)


def address_of(host: str, port: int) -> str:
    """Return the base URL that an OpenAI client needs."""
    shown = _ANYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/v1"


def holder_of(file: FleetFile, address: str, since: float) -> Holder:
    """Return this process as the one that serves the file, since a Unix time in seconds."""
    return Holder(
        pid=os.getpid(),
        since=since,
        fleet=file.fleet.fleet,
        file=str(file.path.absolute()),
        address=address,
    )
