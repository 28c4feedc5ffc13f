"""Small deeds on the local disk: room, digests, deleting.

`store.py` and the fetchers share them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import IO

from headrace.models.errors import AlteredError, DiskError
from headrace.models.lock import LockedFile
from headrace.models.progress import Listener, Progress, silent

_CHUNK = 4 << 20
_MARGIN = 256 << 20  # bytes; logs and caches of an engine share the disk more often than not


def free_bytes(path: Path) -> int:
    """Return the bytes that may still be written at a folder (or at its nearest parent)."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def require_space(root: Path, need: int, *, what: str) -> None:
    """Raise DiskError unless `need` bytes and a margin are free where the store is."""
    free = free_bytes(root)
    if free < need + _MARGIN:
        wanted, there = -(-(need + _MARGIN) >> 20), free >> 20
        raise DiskError(
            f"{what} needs {wanted:,} MiB at {root}, and {there:,} MiB are free; "
            "make some space, or set HEADRACE_CACHE to a folder on another disk"
        )


def hash_file(path: Path, progress: Listener = silent, name: str = "") -> LockedFile:
    """Read a file and return its size in bytes and SHA-256 under `name` (default: its own)."""
    digest = hashlib.sha256()
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(Progress("verify", name or path.name, done, total))
    return LockedFile(name or path.name, done, digest.hexdigest())


def copy_stream(
    reader: IO[bytes], target: Path, name: str, total: int | None, progress: Listener
) -> LockedFile:
    """Write a stream to a file and onto the disk, and return its size and SHA-256 under `name`."""
    digest, done = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            writer.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(Progress("fetch", name, done, total))
        writer.flush()
        os.fsync(writer.fileno())
    return LockedFile(name, done, digest.hexdigest())


def must_match(found: LockedFile, wanted: LockedFile, *, why: str, advice: str) -> None:
    """Raise AlteredError, with both digests, unless a file is the one that was promised."""
    if found.sha256 != wanted.sha256:
        raise AlteredError(
            f"{wanted.path} is not the file that was promised ({why}): "
            f"expected sha256 {wanted.sha256} ({wanted.size:,} bytes), "
            f"got {found.sha256} ({found.size:,} bytes). {advice}"
        )


def make_writable(path: Path) -> None:
    """Undo what sealing did to a folder, where a crash came between sealing and publishing."""
    for folder, _, names in os.walk(path):
        Path(folder).chmod(0o755)
        for name in names:
            (Path(folder) / name).chmod(0o644)


def remove_tree(path: Path) -> None:
    """Delete a file, or a folder even if it is read-only."""
    if path.is_file():
        path.unlink()
    make_writable(path)
    shutil.rmtree(path, ignore_errors=True)
