"""Finished requests in one SQLite file that any number of gateways write and the CLI reads.

Two tables: `records` has each record as JSON, `requests` its columns by which people look for it,
so that a search does not read the JSON. Both are filled by two statements for some hundred records,
which SQLite carries out without Python's lock: a thread that kept taking it back for each row would
slow the event loop, and be slowed by it. The oldest records go when the file would grow past its
bound or when they are too old. Everything here runs in the thread of `log.py`; `history.py` reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from headrace.gateway.control import Store
from headrace.gateway.records import Record

VERSION = 1
"""Of the tables; a file with another one is not touched."""
BUSY = 5.0
"""Seconds to wait for another gateway's write, which takes milliseconds."""
_PAGE = 4096
_RECORDS_AT_ONCE = 256
_STEPS_AT_ONCE = 8
"""Transactions that make room before the next records are written: more than those can fill."""
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

FIELDS = (
    *("id", "route", "variant", "deployment", "replica", "key", "outcome"),
    *("ttft_s", "tpot_s", "duration_s", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("cost", "shadow_of"),
)
"""Fields of a record that are columns of `requests`."""
_SCHEMA = f"""
CREATE TABLE records (n INTEGER PRIMARY KEY, record TEXT);
CREATE TABLE requests (n INTEGER PRIMARY KEY, ended REAL, {", ".join(FIELDS)});
CREATE INDEX requests_by_id ON requests (id);
CREATE INDEX requests_by_end ON requests (ended);
CREATE INDEX shadows ON requests (shadow_of) WHERE shadow_of IS NOT NULL;
PRAGMA user_version = {VERSION};
"""
_ADD_RECORDS = "INSERT INTO records SELECT ? + key, value FROM json_each(?)"
_ADD_REQUESTS = f"""
INSERT INTO requests SELECT n,
    (julianday(json_extract(record, '$.time')) - 2440587.5) * 86400.0
        + json_extract(record, '$.duration_s'),
    {", ".join(f"json_extract(record, '$.{field}')" for field in FIELDS)}
FROM records WHERE n >= ?
"""  # noqa: S608 - built from the constants above; 2440587.5 is 1970-01-01 as a Julian day
_OLDEST = "(SELECT n FROM requests WHERE ended < ? ORDER BY ended LIMIT ?)"


class StoreError(Exception):
    """The file cannot be used as it is; the message says why and what to do."""


class RequestStore:
    """Writes records to the file and keeps it within its bounds.

    `say` hears, once each time, that records are lost, that they are kept again, and that a
    corrupt file was put aside.
    """

    def __init__(self, config: Store, say: Callable[[str], None]) -> None:
        self._path = Path(config.path)
        self._max_age = config.max_age
        self._step = min(4 * 2**20, max(2**16, config.max_size // 16))
        """Bytes that one transaction may write; the write-ahead log grows to about as much."""
        self._pages = max(1, (config.max_size - 3 * self._step) // _PAGE)
        self._say = say
        self._file: sqlite3.Connection | None = None
        self._inode = 0
        self._failing = False
        self._lost = 0
        self._encode = msgspec.json.Encoder().encode

    def write(self, records: Sequence[Record]) -> int:
        """Add records and forget old ones; return how many could not be kept."""
        left = deque(self._encoded(records))
        unfit = len(records) - sum(count for _, count in left)
        try:
            try:
                self._write_all(left)
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise
                self._put_aside(error)
                self._write_all(left)
        except (sqlite3.Error, OSError, StoreError) as error:
            self.close()
            return self._count(unfit + sum(count for _, count in left), str(error))
        return self._count(unfit, "")

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):  # a last checkpoint that finds no room
                self._file.close()
            self._file = None

    def _count(self, lost: int, why: str) -> int:
        """Add to the count of lost records; say when the file fails and when it works again."""
        self._lost += lost
        if why and not self._failing:
            self._say(f"records of requests cannot be written to {self._path}: {why}")
        if self._failing and not why:
            self._say(f"records of requests are written again; {self._lost} were lost")
        self._failing = bool(why)
        self._lost = self._lost if why else 0
        return lost

    def _encoded(self, records: Sequence[Record]) -> Iterator[tuple[str, int]]:
        """Yield JSON arrays of records with their number, each of a bounded size."""
        parts: list[bytes] = []
        size = 0
        for record in records:
            try:
                part = self._encode(record)
            except UnicodeEncodeError:  # a lone surrogate, which JSON cannot carry
                continue
            if parts and (size + len(part) > self._step or len(parts) == _RECORDS_AT_ONCE):
                yield _array(parts), len(parts)
                parts, size = [], 0
            parts.append(part)
            size += len(part)
        if parts:
            yield _array(parts), len(parts)

    def _write_all(self, left: deque[tuple[str, int]]) -> None:
        """Write the arrays, taking away what is written; raises at the first that is not."""
        file = self._opened()
        while left:
            _add(file, left[0][0])
            left.popleft()
            self._keep_within(file)
        self._keep_within(file)

    # -- the file -----------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """Return the open file; one that was moved or removed meanwhile is not written to."""
        if self._file is not None and _inode(self._path) == self._inode:
            return self._file
        self.close()
        with _alone_in(self._path.parent):
            self._make_private()
            self._inode = _inode(self._path)
            self._file = sqlite3.connect(
                self._path, timeout=BUSY, isolation_level=None, check_same_thread=False
            )
            self._prepare(self._file)
        return self._file

    def _make_private(self) -> None:
        """Only the owner may read the file; SQLite gives its companions the same mode."""
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if self._path.stat().st_mode & 0o777 != 0o600:  # noqa: PLR2004 - rw for the owner
            self._path.chmod(0o600)

    def _prepare(self, file: sqlite3.Connection) -> None:
        for pragma in (
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "secure_delete = ON",  # what is too old is gone, not only out of sight
            f"wal_autocheckpoint = {self._step // _PAGE}",
            f"journal_size_limit = {self._step}",
        ):
            file.execute(f"PRAGMA {pragma}")
        version = _number(file, "PRAGMA user_version")
        if version not in (0, VERSION):
            raise StoreError(f"it is of version {version}, and this gateway writes {VERSION}")
        if version == 0:
            file.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename a corrupt file, unless another gateway has done so already."""
        broken = self._inode
        self.close()
        with _alone_in(self._path.parent):
            if _inode(self._path) != broken:
                return
            aside = self._path.with_name(self._path.name + ".corrupt")
            for part in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self._path}{part}").replace(f"{aside}{part}")
        self._say(f"{self._path} is corrupt ({error}); it is {aside} now, and a new one begins")

    # -- bounds -------------------------------------------------------------------------------

    def _keep_within(self, file: sqlite3.Connection) -> None:
        """Delete what is too old, then the oldest until the rest fits, then give pages back."""
        _delete(file, time.time() - self._max_age, self._rows_of_a_step(file))
        for _ in range(_STEPS_AT_ONCE):
            if _used(file) <= self._pages:
                break
            _delete(file, math.inf, self._rows_of_a_step(file))
        for _ in range(_STEPS_AT_ONCE):
            over = _number(file, "PRAGMA page_count") - self._pages - self._step // _PAGE
            if over <= 0:
                break
            # Not `execute`, which goes one step of a statement without columns: one page.
            file.executescript(f"PRAGMA incremental_vacuum({min(over, self._step // _PAGE)})")

    def _rows_of_a_step(self, file: sqlite3.Connection) -> int:
        """Return about how many rows fill the bytes that one transaction may write."""
        rows = _number(file, "SELECT coalesce(max(n) - min(n), 0) + 1 FROM requests")
        return max(1, rows * self._step // _PAGE // max(1, _used(file)))


def _add(file: sqlite3.Connection, array: str) -> None:
    with _transaction(file):
        first = _number(file, "SELECT coalesce(max(n), 0) + 1 FROM records")
        file.execute(_ADD_RECORDS, (first, array))
        file.execute(_ADD_REQUESTS, (first,))


def _delete(file: sqlite3.Connection, before: float, limit: int) -> int:
    """Delete the oldest that ended before then, `limit` at most; return how many there were."""
    with _transaction(file):
        file.execute(f"DELETE FROM records WHERE n IN {_OLDEST}", (before, limit))  # noqa: S608 - a constant
        return file.execute(
            f"DELETE FROM requests WHERE n IN {_OLDEST}",  # noqa: S608 - a constant
            (before, limit),
        ).rowcount


@contextlib.contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN IMMEDIATE")
    try:
        yield
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                file.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: gateways make, convert and rename the file one after the other."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _array(parts: Sequence[bytes]) -> str:
    return (b"[" + b",".join(parts) + b"]").decode()


def _number(file: sqlite3.Connection, query: str) -> int:
    return int(file.execute(query).fetchone()[0])


def _used(file: sqlite3.Connection) -> int:
    return _number(file, "PRAGMA page_count") - _number(file, "PRAGMA freelist_count")


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT
