"""Whether other gateways have the ledger's file open: then they must know what this one lets in.

Each gateway holds a shared lock on a file beside it for as long as it lives, so that one question
to the kernel tells whether somebody else does; a process that dies leaves its lock at once. The
locks belong to open files (`F_OFD_SETLK`), not to processes, and so hold between ledgers of one
process too. Where there are none (not on Linux, some network file systems) nobody is ever alone,
which costs a transaction for each request and nothing else. `books.py` asks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
from pathlib import Path

_FLOCK = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, process id."""


class Presence:
    """One ledger's, of the file at `path`, until `close`."""

    def __init__(self, path: Path) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):
            beside = path.with_name(f"{path.name}-gateways")
            self._file = os.open(beside, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        if self._file is not None and _lock(self._file, fcntl.F_RDLCK) is None:
            self.close()

    @property
    def alone(self) -> bool:
        """Whether no other ledger is there; False where that cannot be known."""
        file = self._file
        return file is not None and _lock(file, fcntl.F_WRLCK, ask=True) == fcntl.F_UNLCK

    def close(self) -> None:
        """Be there no more."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _lock(file: int, kind: int, *, ask: bool = False) -> int | None:
    """Take a lock, or ask what is in its way; None if there are no such locks here."""
    if sys.platform != "linux":
        return None
    how = fcntl.F_OFD_GETLK if ask else fcntl.F_OFD_SETLK
    try:
        told = fcntl.fcntl(file, how, struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0))
    except OSError:
        return None
    return int(struct.unpack(_FLOCK, told)[0])
