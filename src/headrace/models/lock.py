"""The lock file: what was pulled, down to the SHA-256 of every file, reviewed with fleet.yaml.

`laptop.yaml` has `laptop.lock`. It is JSON with sorted keys, one field a line, so that a diff
shows what changed. `pull.py` compares against it and makes new entries; `store.py` verifies
published folders against it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from filelock import FileLock

from headrace.models.cache import cache_root
from headrace.models.errors import LockError, RefusedError, disk_error
from headrace.models.names import safe_name

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=0)]


class LockedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its path in the folder, its size in bytes and its SHA-256 in hexadecimal."""

    path: str
    size: Size
    sha256: Digest


class Conversion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the folder was made from, and by which version of the converter."""

    format: Literal["gguf"]
    converter: int
    files: tuple[LockedFile, ...]


class LockEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model: the source as written, the commit or version it resolved to, and its files."""

    source: str
    resolved: str
    files: tuple[LockedFile, ...]
    converted_from: Conversion | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over names, sizes and digests of the files: the identity of the folder."""
        lines = sorted(f"{file.sha256} {file.size} {file.path}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def fetched(self) -> tuple[LockedFile, ...]:
        """The files as the source gave them, before any conversion."""
        return self.converted_from.files if self.converted_from else self.files


class _LockFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    models: dict[str, LockEntry]


def lock_path(fleet: Path) -> Path:
    """Where the lock of a fleet file is: `laptop.yaml` has `laptop.lock` beside it."""
    return fleet.with_suffix(".lock")


def adapter_key(deployment: str, alias: str) -> str:
    """Return an adapter's key in the lock file; the stroke keeps it apart from models."""
    return f"{deployment}/{alias}"


def read_lock(path: Path) -> dict[str, LockEntry]:
    """Read the entries by model name; no file means no entries.

    Raises LockError, which names the file and the field.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LockError(f"{path}: {error.strerror or error}") from error
    try:
        models = msgspec.json.decode(content, type=_LockFile).models
        for entry in models.values():
            _check_names(entry)
    except (msgspec.DecodeError, RecursionError, RefusedError, UnicodeDecodeError) as error:
        raise LockError(
            f"{path} is not a lock file that this version reads: {error}; "
            "take it from version control, or delete it and pull again"
        ) from error
    return models


def write_lock(path: Path, models: dict[str, LockEntry]) -> None:
    """Replace the lock file atomically: a reader sees the old one or the new one."""
    data = msgspec.to_builtins(_LockFile(version=1, models=dict(sorted(models.items()))))
    replace_file(path, msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def update_lock(path: Path, model: str, entry: LockEntry) -> bool:
    """Set one model's entry, keeping what others wrote meanwhile; whether the file changed."""
    guards = cache_root() / "locks"
    try:
        guards.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
        with FileLock(guards / f"{key}.lock"):
            models = read_lock(path)
            if models.get(model) == entry:
                return False
            write_lock(path, {**models, model: entry})
    except OSError as error:
        raise disk_error(error, path) from error
    return True


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file so that it is either old or new, even after a power cut."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:  # Ctrl-C included: no half file stays
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make a folder's names survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_names(entry: LockEntry) -> None:
    for file in (*entry.files, *entry.fetched):
        safe_name(file.path)
