"""The cold-start ledger: a plain file of JSON lines, one for each start, kept within bounds.

A runtime writes into the fleet's state folder, which is always writable and private. A file beside
the fleet file would be the better place to find it, but it may be in a read-only checkout, and a
start must not dirty a reviewed folder. So what a team wants to plan with elsewhere is put there on
purpose (`headrace starts --keep`: `laptop.yaml` has `laptop.starts.jsonl`), and readers take both.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec
from filelock import FileLock

from headrace.fleet.home import fleet_home
from headrace.models.cache import cache_root
from headrace.models.lock import replace_file
from headrace.starts.start import Start

NAME = "starts.jsonl"
"""Of the file in a fleet's state folder."""
LIMIT = 2**20
"""Bytes that a file may have, some 2,500 starts; then the older half goes."""
_LONGEST_LINE = 16 * 1024
_MODE = 0o600
_PATIENCE = 5.0
"""Seconds to wait for another writer."""


@dataclass(frozen=True)
class Ledger:
    """What is known, in the order of the beginnings; `damage` says in words what was left out."""

    starts: tuple[Start, ...] = ()
    damage: tuple[str, ...] = ()


def running_path(fleet: str, file: Path) -> Path:
    """Where this machine's runtime records the starts of the fleet in `file`."""
    return fleet_home(fleet, file) / NAME


def kept_path(file: Path) -> Path:
    """Where starts are kept beside the fleet file."""
    return file.with_suffix(".starts.jsonl")


def record(path: Path, *starts: Start, limit: int = LIMIT) -> None:
    """Add starts; OSError if they cannot be written. Several may write at once."""
    with _turn(path.with_name(f"{path.name}.lock")):
        _append(path, b"".join(msgspec.json.encode(start) + b"\n" for start in starts))
        if path.stat().st_size > limit:
            lines = path.read_bytes().splitlines(keepends=True)
            replace_file(path, b"".join(_newest(lines, limit // 2)))


def merge(path: Path, starts: Iterable[Start], limit: int = LIMIT) -> int:
    """Add those starts to a file that it has not yet; return how many. OSError, ValueError.

    ValueError if the file has damaged lines: they are somebody's, so they are not thrown away.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _turn(_guard(path)):
        old = read(path)
        if old.damage:
            raise ValueError(f"{old.damage[0]}; mend or delete the line, then try again")
        known = {start.id for start in old.starts}
        new = {start.id: start for start in starts if start.id not in known}
        ordered = _ordered([*old.starts, *new.values()])
        if new:
            lines = [msgspec.json.encode(one) + b"\n" for one in ordered]
            replace_file(path, b"".join(_newest(lines, limit)))
        return len(new)


def read(*paths: Path) -> Ledger:
    """Return the starts of some files, each once; a file that is not there has none."""
    starts: dict[str, Start] = {}
    damage: list[str] = []
    for path in paths:
        for found in _lines(path):
            if isinstance(found, Start):
                starts[found.id] = found
            else:
                damage.append(found)
    return Ledger(tuple(_ordered(starts.values())), tuple(damage))


def of_fleet(fleet: str, file: Path) -> Ledger:
    """Return all starts that are known of the fleet in `file`: recorded here, or kept beside it."""
    return read(kept_path(file), running_path(fleet, file))


def _ordered(starts: Iterable[Start]) -> list[Start]:
    return sorted(starts, key=lambda start: (start.began, start.id))


def _newest(lines: Sequence[bytes], limit: int) -> Sequence[bytes]:
    """Return the last lines that have `limit` bytes together at most."""
    sizes = accumulate(len(line) for line in reversed(lines))
    count = sum(size <= limit for size in sizes)
    return lines[len(lines) - count :]


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Be the only writer; OSError (Timeout) if another one never lets go."""
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(lock, timeout=_PATIENCE):
        yield


def _guard(path: Path) -> Path:
    """Return the lock of a file in a reviewed folder, which nothing else should lie in."""
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    return cache_root() / "locks" / f"{key}.lock"


def _append(path: Path, lines: bytes) -> None:
    """Write whole lines, on a line of its own even after a writer that was cut off."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _MODE), "ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                lines = b"\n" + lines
        file.write(lines)


def _lines(path: Path) -> Iterator[Start | str]:
    """Yield each start, and a sentence for each line that is none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
                if line.strip():
                    yield _start(path, number, line)
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"{path}: {error.strerror or error}"


def _start(path: Path, number: int, line: bytes) -> Start | str:
    try:
        return msgspec.json.decode(line, type=Start)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"{path}:{number}: this line is no start: {error}"
