"""What the file of all gateways says of each key, route and tenant, for `headrace usage`.

It is only read here, while gateways write it or when none runs. `file.py` has the tables.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headrace.ledger.file import DAY, SLOT, Sums
from headrace.routing.allowance import Account, Left, least_left
from headrace.routing.buckets import Bucket
from headrace.routing.route import Limits

DAYS = 30
_SUMS = """
SELECT name, sum(requests), sum(prompt), sum(completion), sum(beyond) FROM totals
WHERE period = ? AND start > ? GROUP BY name
"""


class Used(msgspec.Struct, kw_only=True):
    """What one subject used: in the last minute (10 s exact), since midnight UTC, in 30 days.

    Requests and their tokens count here when they end. `limits` are those it had last, `requests`
    and `tokens` what it has left of them now; `running` are its requests at present, where their
    number is limited.
    """

    subject: str
    minute: Sums = msgspec.field(default_factory=Sums)
    today: Sums = msgspec.field(default_factory=Sums)
    month: Sums = msgspec.field(default_factory=Sums)
    limits: Limits | None = None
    requests: Left | None = None
    tokens: Left | None = None
    running: int = 0


def read_usage(path: Path, now: float) -> list[Used]:
    """Return what each subject used, by name; sqlite3.Error if the file cannot be read."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as file:
        found = {used.subject: used for used in _limited(file, now)}
        today = int(now) // DAY * DAY
        for field, period, after in (
            ("minute", SLOT, now - 60 - SLOT),
            ("today", DAY, today - 1),
            ("month", DAY, today - DAYS * DAY),
        ):
            for name, *sums in file.execute(_SUMS, (period, after)):
                setattr(found.setdefault(name, Used(subject=name)), field, Sums(*sums))
    return [found[name] for name in sorted(found)]


def _limited(file: sqlite3.Connection, now: float) -> Iterator[Used]:
    held = dict(file.execute("SELECT row, sum(running) FROM held GROUP BY row"))
    for row, *buckets, limits in file.execute(
        "SELECT row, requests, requests_at, tokens, tokens_at, limits FROM used"
    ):
        known = msgspec.json.decode(limits, type=Limits)
        account = Account(Bucket(*buckets[:2]), Bucket(*buckets[2:]), held.get(row, 0))
        as_if = msgspec.structs.replace(known, enforce=True)  # what is only counted is shown too
        requests, tokens = least_left([(as_if, account)], now)
        yield Used(
            subject=row, limits=known, requests=requests, tokens=tokens, running=account.running
        )
