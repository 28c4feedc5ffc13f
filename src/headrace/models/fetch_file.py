"""Fetch from this machine: a GGUF file, or a folder as the Hugging Face tools lay it out.

Files are copied, not linked: a published folder must not change when its original does.
"""

from __future__ import annotations

from pathlib import Path

from headrace.fleet.source import FileSource
from headrace.models.disk import copy_stream
from headrace.models.errors import MissingError
from headrace.models.lock import LockedFile
from headrace.models.names import choose_files
from headrace.models.plan import Plan, Planned
from headrace.models.progress import Listener


class FileOrigin:
    """A file or a folder of this machine."""

    def __init__(self, source: FileSource, *, allow_pickle: bool) -> None:
        self.path = Path(source.path)
        self.allow_pickle = allow_pickle

    def plan(self, resolved: str | None) -> Plan:  # noqa: ARG002 - a file has no versions
        """List the folder, or take the one file."""
        if self.path.is_file():
            return Plan("", (_planned(self.path, self.path.name),))
        if not self.path.is_dir():
            raise MissingError(f"{self.path}: there is no such file or folder")
        names = [_relative(path, self.path) for path in sorted(_files(self.path))]
        chosen = choose_files(names, member=None, allow_pickle=self.allow_pickle)
        return Plan("", tuple(_planned(self.path / name, name) for name in chosen))

    def fetch(self, file: Planned, into: Path, progress: Listener) -> LockedFile:
        """Copy one file, taking its digest on the way."""
        with Path(file.place).open("rb") as reader:
            return copy_stream(reader, into / file.name, file.name, file.size, progress)


def _files(folder: Path) -> list[Path]:
    deep = [folder.glob(pattern) for pattern in ("*", "*/*", "*/*/*")]
    return [path for paths in deep for path in paths if path.is_file()]


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _planned(path: Path, name: str) -> Planned:
    return Planned(name, str(path), path.stat().st_size)
