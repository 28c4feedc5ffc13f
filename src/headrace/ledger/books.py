"""The accounts of all subjects, in memory and, where there is one, in the file of all gateways.

What is charged is owed to the file until a transaction has written it. Each transaction reads what
others may have changed, adds what is owed and writes it; between transactions the accounts are what
this gateway knew last. So a file that cannot be used for a while costs exactness, never a charge.
`ledger.py` judges requests by the accounts; `file.py` is the file.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from headrace.ledger.file import FORGET, PATIENCE, LedgerFile, Sums, is_busy
from headrace.ledger.identity import identity
from headrace.ledger.peers import News, Peers, Spending, Tally
from headrace.routing.allowance import Account, Subject
from headrace.routing.route import Limits

BUSY_PAUSE = 0.5
"""Seconds that the file is left alone after others had it for too long."""
BROKEN_PAUSE = 10.0
"""Seconds until a file that cannot be used is tried again."""
HELD_BACK = 0.1
"""Seconds for which a gateway that has the file to itself may keep to itself what it lets in."""
SWEEP_EVERY = 600.0
"""Seconds between looks for what is no longer needed."""
_FAILURES = (sqlite3.Error, OSError)


class Books:
    """Accounts by row. `missed` counts transactions that could not be, `broken` says why not."""

    def __init__(
        self, path: str | None, gateway_id: str | None = None, patience: float = PATIENCE
    ) -> None:
        self.missed = 0
        self.broken = ""
        self._path = path
        self.gateway = gateway_id or identity()
        self._file = LedgerFile(Path(path), self.gateway, patience) if path else None
        self._accounts: dict[str, Account] = {}
        self._running: Counter[str] = Counter()
        self._tally = Tally()
        self._peers = Peers()
        self._owed: dict[str, tuple[Limits, float, float]] = {}
        self._read: tuple[str, ...] = ()
        self._current: set[tuple[str, bool]] = set()
        """Rows, with places or without, whose accounts are the file's and what is owed to it."""
        self._moved: set[str] = set()
        self._alone_at = -math.inf
        """When the file was read last, in the ledger's time, if nobody else had it open then."""
        self._try_again = -math.inf
        self._sweep_at = -math.inf

    def account(self, row: str) -> Account:
        """Return what is known of a subject, with its requests here and in gateways that tell."""
        account = self._accounts.get(row, Account())
        more = self._running.get(row, 0) + self._peers.running(row)
        if not more:
            return account
        return Account(account.requests, account.tokens, account.running + more)

    def charge(
        self, subjects: Iterable[Subject], requests: int, tokens: int, running: int, *, now: float
    ) -> None:
        """Add to the accounts of subjects; `commit` writes it."""
        for subject in subjects:
            row, limits = subject.row, subject.limits
            if limits is None:
                continue
            self._take(row, limits, requests, tokens, now)
            self._tally.add(row, limits, requests, tokens)
            if limits.concurrency is not None:
                self._running[row] += running
                self._moved.add(row)

    def _take(self, row: str, limits: Limits, requests: float, tokens: float, now: float) -> None:
        """Take requests and tokens out of an account, here and, when it is written, in the file."""
        account = self._accounts.get(row, Account())
        self._accounts[row] = account.charged(limits, requests, tokens, now)
        if self._file is not None and (requests or tokens):
            _, before, earlier = self._owed.get(row, (limits, 0, 0))
            self._owed[row] = (limits, before + requests, earlier + tokens)

    # -- gateways that share no file ----------------------------------------------------------

    def spending(self, now: float) -> Spending:
        """Return what this gateway tells others."""
        return Spending(self.gateway, self._tally.told(self.account, self._running, now))

    def hear(self, told: Spending, now: float) -> None:
        """Charge what another gateway let in."""
        if told.gateway == self.gateway:
            return
        news = list(self._peers.hear(told, now))
        for one in news:
            if not one.level:
                self._take(one.row, one.limits, one.requests, one.tokens, now)
        levels = [one for one in news if one.level]
        if levels:
            self._reach(levels, now)

    def _reach(self, levels: Sequence[News], now: float) -> None:
        """Have at least so much in use: what the file knows counts."""
        begun = self._begin({one.row: one.limits for one in levels}, now)
        for row, limits, requests, tokens, _ in levels:
            ours, theirs = self._accounts.get(row, Account()).in_use(limits, now)
            self._take(row, limits, max(0.0, requests - ours), max(0.0, tokens - theirs), now)
        if begun:
            self.commit(now)

    # -- transactions -------------------------------------------------------------------------

    def may_wait(self, subjects: Iterable[Subject], now: float) -> bool:
        """Whether these subjects can be judged without the file, and it be told a little later.

        So it is while no other gateway has it open: then what is known of it is what it says.
        """
        if not (abs(now - self._alone_at) < HELD_BACK and self.alone):
            return False
        return all((s.row, has_places(s.limits)) in self._current for s in subjects)

    @property
    def alone(self) -> bool:
        """Whether no other gateway has the file open."""
        return self._file is not None and self._file.alone

    def begin(self, subjects: Sequence[Subject], now: float) -> bool:
        """Begin a transaction and read these subjects; False: there is none, go by memory."""
        rows = {s.row: s.limits for s in subjects if s.limits is not None}
        begun = self._begin(rows, now)
        for row, limits in rows.items():
            account = self._accounts.get(row)
            if account is not None and account.ahead(now):
                self._accounts[row] = account.charged(limits, 0, 0, now)
                if self._file is not None:
                    self._owed.setdefault(row, (limits, 0, 0))
        return begun

    def is_tight(self, subject: Subject) -> bool:
        """Whether half of the places were taken before one was left: somebody may wait for it."""
        most = subject.limits.concurrency if subject.limits else None
        return most is not None and 2 * (self.account(subject.row).running + 1) >= most

    def write_places(self, now: float) -> None:
        """Write how many requests are in this gateway."""
        if self._begin({}, now):
            self.commit(now)

    def flush(self, now: float) -> None:
        """Write all that is owed."""
        if (self._owed or self._moved) and self._begin_owed(now):
            self.commit(now)

    def _begin_owed(self, now: float) -> bool:
        return self._begin({row: limits for row, (limits, _, _) in self._owed.items()}, now)

    def _begin(self, rows: Mapping[str, Limits], now: float) -> bool:
        file = self._file
        if file is None:
            return False
        if time.monotonic() < self._try_again:
            self.missed += 1
            return False
        try:
            file.begin()
            self._recall(file, rows, now)
        except _FAILURES as error:
            self._lost(file, error)
            return False
        return True

    def _recall(self, file: LedgerFile, rows: Mapping[str, Limits], now: float) -> None:
        if file.changed():
            self._current.clear()
        for row, limits in rows.items():
            shared = has_places(limits)
            if (row, shared) in self._current:
                continue
            account = file.account(row, shared=shared)
            owed = self._owed.get(row)
            if owed is not None:
                account = account.charged(limits, owed[1], owed[2], now)
            self._accounts[row] = account
            self._current.add((row, shared))
        self._read = tuple(rows)
        self._alone_at = now if file.alone else -math.inf

    def commit(self, now: float) -> bool:
        """Write what is owed of what was read, and end; False: it is owed still."""
        file = self._file
        if file is None:
            return False
        try:
            written = [row for row in self._read if row in self._owed]
            file.keep([(row, self._owed[row][0], self._accounts[row]) for row in written])
            file.hold([(row, self._running[row]) for row in self._moved], now)
            file.commit()
        except _FAILURES as error:
            self._lost(file, error)
            return False
        for row in written:
            del self._owed[row]
        self._moved.clear()
        if self.broken:
            self.broken = ""
            _say(f"limits count in {self._path} again")
        return True

    def _lost(self, file: LedgerFile, error: Exception) -> None:
        """Go on without the file for a while."""
        self.missed += 1
        self._current.clear()
        self._alone_at = -math.inf
        with contextlib.suppress(sqlite3.Error):
            file.rollback()
        if is_busy(error):
            self._try_again = time.monotonic() + BUSY_PAUSE
            return
        with contextlib.suppress(sqlite3.Error):
            file.close()
        self._try_again = time.monotonic() + BROKEN_PAUSE
        if not self.broken:
            _say(
                f"{self._path}, where all gateways count what keys and routes use, cannot be used "
                f"({error}); until it can, this gateway counts by itself, in memory. If the disk "
                "is full, make room; if the file is broken, remove it"
            )
        self.broken = str(error)

    # -- time ---------------------------------------------------------------------------------

    def tick(self, sums: Mapping[str, Sums], now: float) -> bool:
        """Each second: write sums and a sign of life, release what dead gateways hold.

        Return whether the sums are written.
        """
        if not self._sweep_at - 2 * SWEEP_EVERY <= now < self._sweep_at:
            self._sweep_at = now + SWEEP_EVERY
            self._sweep(now)
        self._peers.tick(now)
        file = self._file
        if file is None:
            return True
        if time.monotonic() < self._try_again:
            return False
        try:
            return self._write(file, sums, now)
        except _FAILURES as error:
            self._lost(file, error)
            return False

    def _write(self, file: LedgerFile, sums: Mapping[str, Sums], now: float) -> bool:
        if file.replaced():
            file.close()
        self._moved.update(self._running)
        if not (sums or self._moved or self._owed or file.others()):
            return True
        if not self._begin_owed(now):
            return False
        self._current.clear()  # it may be ourselves who change what others hold
        file.release_dead(now)
        file.add(sums.items(), now)
        written = self.commit(now)
        if written:
            self._running = +self._running  # the positive ones: a zero is written and done
        return written

    def _sweep(self, now: float) -> None:
        """Forget what the file knows, or what has flowed back long ago."""
        self._tally.told(self.account, self._running, now)  # where nobody asks, it grows
        if self._file is None:
            self._running = +self._running
            old = now - FORGET
            for row, (ours, theirs, _) in list(self._accounts.items()):
                if max(ours.at, theirs.at) < old and row not in self._running:
                    del self._accounts[row]
            return
        self._current.clear()
        for row in self._accounts.keys() - self._owed.keys():
            del self._accounts[row]
        if self._begin_owed(now):
            with contextlib.suppress(sqlite3.Error):
                self._file.sweep(now)
            self.commit(now)

    def close(self, sums: Mapping[str, Sums], now: float) -> None:
        """Write what is to be written, give back what this gateway holds, leave the file."""
        if self._file is None:
            return
        self._moved.update(self._running)
        self._running.clear()
        self._try_again = -math.inf
        self.tick(sums, now)
        with contextlib.suppress(sqlite3.Error):
            self._file.close()


def has_places(limits: Limits | None) -> bool:
    """Return whether it counts how many requests are there at once."""
    return limits is not None and limits.concurrency is not None


def _say(text: str) -> None:
    sys.stderr.write(f"gateway: {text}\n")
