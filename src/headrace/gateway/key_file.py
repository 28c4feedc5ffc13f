"""The file of API keys while a fleet is up: read again whenever it is written.

A file that cannot be used keeps the keys that were read before: nobody is let in by a mistake, and
nobody is shut out. `keys.py` has the format; both runtimes look every two seconds.
"""

from __future__ import annotations

from pathlib import Path

from headrace.fleet.load import FleetFile
from headrace.gateway.control import Key
from headrace.gateway.keys import read_keys
from headrace.gateway.written import Written


class KeyFile:
    """The keys of one file; `keys` is None where nobody is asked for one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.keys: tuple[Key, ...] | None = None
        self._written = Written(path)

    def read(self) -> None:
        """Read the file; FleetError if it cannot be used."""
        self.mark()
        self.keys = read_keys(self.path) if self.path else None

    def mark(self) -> None:
        """Take the file as it is now for known, without reading it."""
        self._written.mark()

    def changed(self) -> bool:
        """Whether the file was written, replaced or removed since it was last read."""
        return self._written.changed()


def key_path(file: FleetFile) -> Path | None:
    """Return the key file that a fleet file names; a relative path is beside that file."""
    keys = file.fleet.gateway.keys
    return None if keys is None else file.path.parent / keys


def key_file(file: FleetFile) -> KeyFile:
    """Return the keys of a fleet, read; FleetError if they cannot be used."""
    made = KeyFile(key_path(file))
    made.read()
    return made
