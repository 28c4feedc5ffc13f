"""Whether a file was written, replaced or removed since it was last read.

A mounted ConfigMap or Secret changes by a link that leads elsewhere, which is seen as well.
"""

from __future__ import annotations

from pathlib import Path

_Stamp = tuple[int, int, int]


class Written:
    """One file; `mark` before reading it, then ask `changed` now and then."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._stamp: _Stamp | None = None

    def mark(self) -> None:
        """Take the file as it is now for known."""
        self._stamp = self._look()

    def changed(self) -> bool:
        """Whether it is another one than the one that was marked."""
        return self._look() != self._stamp

    def _look(self) -> _Stamp | None:
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
