"""Where a running fleet keeps what others need to find it: a private folder for each fleet file.

`lock` is held while the fleet is up; the kernel lets go of it, so a dead Headrace never looks
alive. Everything else in the folder is advice. `supervisor.py` writes here, `client.py` reads.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from headrace.fleet.home import fleet_home, state_root
from headrace.local.errors import LocalError
from headrace.starts import ledger

_PATIENCE = 0.5
"""Seconds to try for the lock: `status` holds it for an instant while it looks."""
LONGEST_SOCKET_PATH = 107
"""Bytes; Linux keeps 108 for a socket's path and its end."""


class StateError(LocalError):
    """The state folder cannot be used; the message says why and what to do."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a fleet's lock; `since` is a Unix time in seconds."""

    pid: int
    since: float
    fleet: str
    file: str
    address: str = ""


class AlreadyUpError(LocalError):
    """The fleet is up; the message says who serves it, since when, where, and how to stop it."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(_refusal(holder))


@dataclass(frozen=True)
class StateDir:
    """The folder of one fleet."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held while the fleet is up; says who holds it."""
        return self.path / "lock"

    @property
    def socket(self) -> Path:
        """Where `headrace status`, `scale` and `down` ask."""
        return self.path / "control.sock"

    @property
    def logs(self) -> Path:
        """One log per replica, and the gateway's."""
        return self.path / "logs"

    @property
    def decisions(self) -> Path:
        """Scaling decisions, JSON lines."""
        return self.path / "decisions.jsonl"

    @property
    def rollouts(self) -> Path:
        """Steps of rollouts, JSON lines."""
        return self.path / "rollouts.jsonl"

    @property
    def rollout(self) -> Path:
        """The rollout that is under way."""
        return self.path / "rollout.json"

    @property
    def requests(self) -> Path:
        """The gateways' records of requests, SQLite."""
        return self.path / "requests.db"

    @property
    def usage(self) -> Path:
        """What keys and routes have used of their limits, SQLite."""
        return self.path / "usage.db"

    @property
    def starts(self) -> Path:
        """Every start of a replica, JSON lines (`headrace.starts.ledger`)."""
        return self.path / ledger.NAME

    @property
    def events(self) -> Path:
        """What happened, JSON lines."""
        return self.path / "events.jsonl"


def state_dir(fleet: str, file: Path, root: Path | None = None) -> StateDir:
    """Return the folder of the fleet in `file`: its name and 8 digits of the path's hash."""
    return StateDir(fleet_home(fleet, file, root))


class Lock:
    """The fleet's lock, held since a Unix time in seconds until `release` or the process ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.since = time.time()

    def describe(self, holder: Holder) -> None:
        """Write who holds it, for `up`, `status` and `down` to read."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(msgspec.json.encode(holder))
        self._file.flush()

    def release(self) -> None:
        """Let go of the lock."""
        self._file.close()


def acquire(state: StateDir) -> Lock:
    """Make the folder and take its lock; AlreadyUpError if the fleet is up, else StateError."""
    _make(state)
    file = state.lock.open("ab+")
    deadline = time.monotonic() + _PATIENCE
    while not _try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            file.close()
            raise AlreadyUpError(_read(state.lock))
        time.sleep(0.02)
    state.socket.unlink(missing_ok=True)  # the lock is ours, so this is a dead fleet's
    return Lock(file)


def holder(state: StateDir) -> Holder | None:
    """Return who serves the fleet now, or None if it is not up."""
    try:
        with state.lock.open("rb") as file:
            return None if _try_lock(file, fcntl.LOCK_SH) else _read(state.lock)
    except OSError:
        return None


def running_fleets(root: Path | None = None) -> Iterator[tuple[StateDir, Holder]]:
    """Yield every fleet of this user that is up, by folder name."""
    for path in sorted((root or state_root()).glob("*/lock")):
        state = StateDir(path.parent)
        who = holder(state)
        if who is not None:
            yield state, who


def _make(state: StateDir) -> None:
    length = len(os.fsencode(state.socket))
    if length > LONGEST_SOCKET_PATH:
        raise StateError(
            f"{state.socket} has {length} bytes, and a socket's path may have "
            f"{LONGEST_SOCKET_PATH}; set HEADRACE_STATE to a shorter folder"
        )
    try:
        state.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        state.path.chmod(0o700)
    except OSError as error:
        raise StateError(
            f"{state.path} cannot be made: {error.strerror}; set HEADRACE_STATE to your own folder"
        ) from error


def _try_lock(file: IO[bytes], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(lock: Path) -> Holder | None:
    try:
        return msgspec.json.decode(lock.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def _refusal(who: Holder | None) -> str:
    if who is None:
        return (
            "this fleet is just being started by another headrace; wait, then try headrace status"
        )
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(who.since))
    at = f" at {who.address}" if who.address else ""
    return (
        f"fleet '{who.fleet}' is already up{at}: process {who.pid}, since {since}; see "
        f"`headrace status {who.file}`, stop it with `headrace down {who.file}`"
    )
