"""Files that grow by a line for each event or decision: `events.jsonl`, `decisions.jsonl`."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Journal:
    """A file of JSON lines; over `limit` bytes it becomes `name.1` and a new one begins.

    A disk that is full loses lines, never the fleet.
    """

    def __init__(self, path: Path, limit: int = 16 * 2**20) -> None:
        self._path, self._limit = path, limit
        self.lost = 0

    def write(self, entry: object) -> None:
        """Append one entry."""
        try:
            if self._path.exists() and self._path.stat().st_size > self._limit:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(entry) + b"\n")
        except OSError:
            self.lost += 1
