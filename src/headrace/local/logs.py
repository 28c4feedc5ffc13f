"""Engine logs: one file per replica, renewed at each start, read while it grows.

The engine writes straight into the file, so a slow or dead reader can never block it. `replica.py`
follows the file for start-up phases and takes the engine's last words from its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

KEEP = 5
"""Files kept for each replica, the newest (`name.log`) included."""
_PAUSE = 0.1
_TAIL = 64 * 1024


def renew(log: Path) -> Path:
    """Make room for a new `name.log`; older ones become `name.log.1` and so on."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    older = [log.with_name(f"{log.name}.{n}") for n in range(1, KEEP)]
    for newer, target in reversed(list(pairwise([log, *older]))):
        if newer.exists():
            newer.replace(target)
    log.touch(mode=0o600)
    return log


def tail(log: Path, lines: int = 200) -> list[str]:
    """Return the last lines of a log, of its last 64 KiB at most; none if there is no file."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


async def follow(log: Path, *, from_end: bool = False) -> AsyncIterator[str]:
    """Yield each line as it is written, for ever; a renewed file is read from its start."""
    position = _size(log) if from_end else 0
    identity, rest = _identity(log), b""
    while True:
        if _identity(log) != identity:
            identity, position, rest = _identity(log), 0, b""
        data = _read(log, position)
        position += len(data)
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
        if not data:
            await asyncio.sleep(_PAUSE)


def _identity(log: Path) -> int:
    try:
        return log.stat().st_ino
    except OSError:
        return 0


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _read(log: Path, position: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(position)
            return file.read(_TAIL)
    except OSError:
        return b""
