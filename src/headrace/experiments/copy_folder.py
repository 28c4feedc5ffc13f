"""The folder of a copy, below the temporary one: what a killed experiment left, the next removes.

A folder belongs to whoever holds its lock, of which the kernel lets go however a process ends. It
is in no state folder because sockets are in it, whose paths have to be short.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.local.state import running_fleets

_PREFIX = "headrace-"
_OWNED = "experiment.lock"


@contextmanager
def copy_folder() -> Iterator[Path]:
    """Give a new folder, gone when the block ends; those of experiments that are gone go first."""
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        unseen = folder / f".{_OWNED}"
        with unseen.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            unseen.rename(folder / _OWNED)  # so that nobody finds it before it is held
            yield folder


def _remove_abandoned() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNED}"):
        with suppress(OSError), path.open("rb") as lock:  # OSError: held, or just gone
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = path.parent.lstat().st_uid == os.getuid()
            if ours and not any(running_fleets(path.parent)):  # its copy ends a little after it
                shutil.rmtree(path.parent, ignore_errors=True)
