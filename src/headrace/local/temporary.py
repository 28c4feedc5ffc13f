"""A replica's own folder for its engine's temporary files: it goes with the replica.

Engines make sockets, and files by which their processes meet, under random names in /tmp, and leave
them there. `launching.py` tells the engine of the folder, as TMPDIR.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
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


def environment(outer: Mapping[str, str], own: Path | None) -> dict[str, str]:
    """Return an environment whose temporary files are in a folder of its own, where it has one.

    Two things stay where `outer` has them: what torch has compiled, which the next start is quicker
    by, and the files of Ray, whose sockets' paths are too long for such a folder.
    """
    if own is None:
        return dict(outer)
    shared = Path(tempfile.gettempdir())
    stay = {
        "TORCHINDUCTOR_CACHE_DIR": str(shared / f"torchinductor_uid_{os.getuid()}"),
        "RAY_TMPDIR": str(shared),
    }
    return {**stay, **outer, "TMPDIR": str(own)}


def _path(state: Path, replica: str) -> Path:
    return state / "tmp" / replica
