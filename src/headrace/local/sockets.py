"""A replica's own folder for its engine's sockets: it goes with the replica.

Engines make sockets under random names in /tmp, and leave them there when they are killed.
`launching.py` tells the engine of the folder.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from headrace.local.state import LONGEST_SOCKET_PATH

_NAME = 37
"""Bytes of a socket's name in it: a slash and a UUID."""


def made(state: Path, replica: str) -> Path | None:
    """Make the folder anew and return it; None, so no folder, where its path is too long."""
    path = _path(state, replica)
    if len(os.fsencode(path)) + _NAME > LONGEST_SOCKET_PATH:
        return None
    removed(state, replica)
    path.mkdir(parents=True, mode=0o700)
    return path


def removed(state: Path, replica: str) -> None:
    """Remove the folder and what the engine left in it."""
    shutil.rmtree(_path(state, replica), ignore_errors=True)


def _path(state: Path, replica: str) -> Path:
    return state / "ipc" / replica
