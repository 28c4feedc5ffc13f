"""The mounted fleet file and its keys, read again when their ConfigMap or Secret changes.

Kubernetes writes them into running Pods within a minute or so. A file that cannot be used changes
nothing: what was read before goes on, and what is wrong is said once, with its line.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from headrace.fleet.problems import FleetError
from headrace.gateway.key_file import KeyFile, key_path
from headrace.gateway.written import Written
from headrace.kubernetes import edition
from headrace.kubernetes.edition import Edition

_LOOK = 2.0
"""Seconds between two looks."""


class ConfigFiles:
    """The fleet file at `path` and the keys it names; FleetError if they cannot be used at first.

    `failures` counts edited files that were refused.
    """

    def __init__(self, path: Path, who: str, *, keys: bool = True) -> None:
        self.failures = 0
        self._path, self._who, self._with_keys = path, who, keys
        self._written = Written(path)
        self._written.mark()
        self.edition = edition.read(path)
        self.keys = self._key_file(self.edition)

    async def follow(self, changed: Callable[[], None], every: float = _LOOK) -> None:
        """Call `changed` after each change that can be used, for ever."""
        while True:
            await asyncio.sleep(every)
            if self._renewed():
                changed()

    def _renewed(self) -> bool:
        if not (self._written.changed() or self.keys.changed()):
            return False
        self._written.mark()
        try:
            found = edition.read(self._path)
            keys = self._key_file(found)
        except FleetError as error:
            self._refused(error)
            return False
        self.edition, self.keys = found, keys
        sys.stderr.write(f"{self._who}: the edited fleet file and keys are in force\n")
        return True

    def _refused(self, error: FleetError) -> None:
        self.failures += 1
        self.keys.mark()
        refused = "the edited file is refused whole, and what was read before goes on"
        sys.stderr.write(f"{self._who}: {refused}: {error}\n")

    def _key_file(self, found: Edition) -> KeyFile:
        made = KeyFile(key_path(found.file) if self._with_keys else None)
        made.read()
        return made
