"""The file in which the gateways of a fleet share what keys and routes have used.

SQLite, with a write-ahead log and without fsync: every transaction is a few microseconds in the
kernel's memory, which outlives a crash of any gateway; after a power cut a minute's use may be
lost, or the file be broken, which costs less than a disk that stops all streams. A transaction
waits for those of other gateways for at most `PATIENCE`, because the event loop waits with it.
`ledger.py` decides what is written and what happens when the file cannot be used;
`report.py` reads it for people.

Tables: `used` has a row for each subject with limits, `held` the requests that are in a gateway,
`totals` sums of short and long periods.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from headrace.ledger.identity import is_gone
from headrace.ledger.presence import Presence
from headrace.routing.allowance import Account
from headrace.routing.buckets import Bucket
from headrace.routing.route import Limits

PATIENCE = 0.05
"""Seconds to wait for other gateways' transactions, each of which takes about 30 microseconds."""
SILENT = 5.0
"""Seconds without a sign of life after which a gateway's requests no longer count."""
SLOT, DAY = 10, 86400
"""Lengths of periods in seconds; a day is one of UTC."""
KEEP_SLOTS = 120.0
"""Seconds that slots are kept."""
KEEP_DAYS = 31 * 86400.0
"""Seconds that days are kept."""
FORGET = 2 * 86400.0
"""Seconds after which the use of a subject that does not come any more is forgotten."""
_PAUSE = 0.0002
_VERSION = 1
_TABLES = f"""
CREATE TABLE IF NOT EXISTS used (
    row TEXT PRIMARY KEY, requests REAL NOT NULL, requests_at REAL NOT NULL, tokens REAL NOT NULL,
    tokens_at REAL NOT NULL, limits TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held (
    row TEXT, gateway TEXT, running INTEGER, beat REAL, PRIMARY KEY (row, gateway)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
    period INTEGER, start INTEGER, name TEXT, requests INTEGER, prompt INTEGER, completion INTEGER,
    beyond INTEGER, PRIMARY KEY (period, start, name)
) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""
_READ = "SELECT requests, requests_at, tokens, tokens_at, 0 FROM used WHERE row = ?"
_READ_SHARED = """
SELECT coalesce(requests, 0.0), coalesce(requests_at, 0.0), coalesce(tokens, 0.0),
    coalesce(tokens_at, 0.0),
    (SELECT coalesce(sum(running), 0) FROM held WHERE held.row = asked.row AND gateway != ?)
FROM (SELECT ? AS row) AS asked LEFT JOIN used USING (row)
"""
_KEEP = """
INSERT INTO used VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = excluded.requests, requests_at = excluded.requests_at, tokens = excluded.tokens,
    tokens_at = excluded.tokens_at, limits = excluded.limits
"""
_ADD = """
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, prompt = prompt + excluded.prompt,
    completion = completion + excluded.completion, beyond = beyond + excluded.beyond
"""


@lru_cache(maxsize=4096)
def _text(limits: Limits) -> str:
    return msgspec.json.encode(limits).decode()


class Sums(msgspec.Struct):
    """What a subject did in some time; `beyond` counts what its limits refused or noted."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    beyond: int = 0


class LedgerFile:
    """One gateway's connection to the file. Everything here raises sqlite3.Error or OSError.

    What is between `begin` and `commit` happens at one instant for all gateways.
    """

    def __init__(self, path: Path, gateway: str, patience: float) -> None:
        self._path = path
        self._gateway = gateway
        self._patience = patience
        self._inode = 0
        self._version = 0
        self._connection: sqlite3.Connection | None = None
        self._presence: Presence | None = None

    @property
    def alone(self) -> bool:
        """Whether no other gateway has the file open, as far as can be known."""
        return self._presence is not None and self._presence.alone

    def open(self) -> sqlite3.Connection:
        """Open the file, made if need be; a broken one is refused."""
        with contextlib.suppress(FileExistsError):
            # never opened here once it is there: to close it would drop this process's locks on it
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._inode = self._path.stat().st_ino
        self._presence = self._presence or Presence(self._path)
        made = sqlite3.connect(self._path, isolation_level=None, timeout=0.0)
        try:
            _prepare(made)
        except sqlite3.Error:
            made.close()
            raise
        self._connection, self._version = made, 0
        return made

    def close(self) -> None:
        """Let go of the file; `begin` opens it again."""
        made, self._connection = self._connection, None
        presence, self._presence = self._presence, None
        if presence is not None:
            presence.close()
        if made is not None:
            made.close()

    def begin(self) -> None:
        """Begin a transaction; sqlite3.OperationalError if others do not let us in time."""
        give_up = 0.0
        while True:
            try:
                self._run("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                # SQLite's own patience sleeps for milliseconds, and has none when a file is made
                now = time.monotonic()
                give_up = give_up or now + self._patience
                if not is_busy(error) or now > give_up:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def commit(self) -> None:
        """End the transaction; everything in it is there for all."""
        self._run("COMMIT")

    def rollback(self) -> None:
        """End the transaction, if there is one, as if it had not been."""
        if self._connection is not None and self._connection.in_transaction:
            self._run("ROLLBACK")

    def changed(self) -> bool:
        """Whether others have written since the last time that this was asked, or the file is new.

        Within a transaction, so that they do not write after the question.
        """
        before = self._version
        self._version = self._run("PRAGMA data_version").fetchone()[0]
        return self._version != before

    def account(self, row: str, *, shared: bool) -> Account:
        """Return what a subject has used; `running`, of other gateways, only if it is `shared`."""
        rows = self._run(_READ_SHARED, self._gateway, row) if shared else self._run(_READ, row)
        found = rows.fetchone() or (0.0, 0.0, 0.0, 0.0, 0)
        requests, requests_at, tokens, tokens_at, others = found
        return Account(Bucket(requests, requests_at), Bucket(tokens, tokens_at), others)

    def keep(self, used: Iterable[tuple[str, Limits, Account]]) -> None:
        """Replace what subjects have used."""
        values = [
            (row, *account.requests, *account.tokens, _text(limits))
            for row, limits, account in used
        ]
        self._run_all(_KEEP, values)

    def hold(self, running: Sequence[tuple[str, int]], now: float) -> None:
        """Replace how many of the subjects' requests this gateway has."""
        held = [(row, self._gateway, count, now) for row, count in running if count]
        left = [(row, self._gateway) for row, count in running if not count]
        self._run_all("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)", held)
        self._run_all("DELETE FROM held WHERE row = ? AND gateway = ?", left)

    def add(self, sums: Iterable[tuple[str, Sums]], now: float) -> None:
        """Add to the totals of the present slot and day; forget old slots."""
        self._forget(SLOT, now - KEEP_SLOTS)
        for name, one in sums:
            values = (name, one.requests, one.prompt, one.completion, one.beyond)
            for period in (SLOT, DAY):
                self._run(_ADD, period, int(now) // period * period, *values)

    def others(self) -> dict[str, float]:
        """Return the other gateways that hold requests, with their last sign of life."""
        asked = "SELECT gateway, max(beat) FROM held WHERE gateway != ? GROUP BY gateway"
        return dict(self._run(asked, self._gateway).fetchall())

    def release_dead(self, now: float) -> None:
        """Take back what gateways hold that have died."""
        for gateway, beat in self.others().items():
            if abs(now - beat) > SILENT or is_gone(gateway):
                self._run("DELETE FROM held WHERE gateway = ?", gateway)

    def sweep(self, now: float) -> None:
        """Forget subjects that do not come any more, and old days."""
        old = now - FORGET
        self._run("DELETE FROM used WHERE requests_at < ? AND tokens_at < ?", old, old)
        self._forget(SLOT, now - KEEP_SLOTS)
        self._forget(DAY, now - KEEP_DAYS)

    def _forget(self, period: int, before: float) -> None:
        self._run("DELETE FROM totals WHERE period = ? AND start < ?", period, before)

    def replaced(self) -> bool:
        """Whether somebody removed the file or put another one in its place."""
        try:
            return self._connection is not None and self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _run_all(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        if values:
            (self._connection or self.open()).executemany(statement, values)

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return (self._connection or self.open()).execute(statement, values)


def is_busy(error: BaseException) -> bool:
    """Whether other gateways had the file for too long."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _prepare(made: sqlite3.Connection) -> None:
    made.execute("PRAGMA page_size = 1024")  # of a new file: what changes is written by the page
    made.execute("PRAGMA journal_mode = WAL")
    made.execute("PRAGMA synchronous = OFF")
    (said,) = made.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(f"it is broken ({said})")
    (version,) = made.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it was made by another version of Headrace ({version})")
    if not version:
        made.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
