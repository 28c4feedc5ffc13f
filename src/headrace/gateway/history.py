"""Reading what `store.py` keeps: one request by its id, many by what they have in common.

For the command line, in a process of its own. Every read is short and takes all it wants at once,
because a reader that stayed open would keep the write-ahead log from being folded back.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from headrace.gateway.records import Record
from headrace.gateway.store import VERSION, StoreError

_BUSY = 5.0
_LAST_CHARACTER = "\U0010ffff"


class Found(NamedTuple):
    """A record as it is stored: `n` grows with each, `raw` is its JSON."""

    n: int
    raw: str

    @property
    def record(self) -> Record:
        """The record itself."""
        return msgspec.json.decode(self.raw, type=Record)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which requests; None: any. `since` and `until` are Unix times of their ends, `after` an `n`.

    `slow` puts the longest waits for a first token first instead of the latest requests. Copies for
    shadow deployments are left out unless `shadow` asks for them alone.
    """

    route: str | None = None
    deployment: str | None = None
    key: str | None = None
    replica: str | None = None
    errors: bool = False
    slow: bool = False
    shadow: bool = False
    since: float | None = None
    until: float | None = None
    after: int | None = None
    limit: int = 50


class Figures(NamedTuple):
    """What one request contributes to a comparison; None where it has no such figure."""

    variant: str
    shadow: bool
    deployment: str | None
    outcome: str
    ttft_s: float | None
    tpot_s: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None


def by_id(path: Path, wanted: str) -> list[Found]:
    """Return the requests with that id, and copies of it for shadows, the earliest first.

    If no id is the very one, those that begin with it count. StoreError if the file cannot be read.
    """
    exactly = "q.id = ? OR q.shadow_of = ?"
    begins = "q.id >= ? AND q.id < ?"
    with _reading(path) as file:
        found = _records(file, f"WHERE {exactly} ORDER BY q.ended", (wanted, wanted))
        bounds = (wanted, wanted + _LAST_CHARACTER)
        return found or _records(file, f"WHERE {begins} ORDER BY q.ended", bounds)


def select(path: Path, wanted: Wanted) -> list[Found]:
    """Return the requests that are wanted; StoreError if the file cannot be read."""
    conditions, values = _conditions(wanted)
    order = "coalesce(q.ttft_s, q.duration_s)" if wanted.slow else "q.ended"
    tail = f"WHERE {' AND '.join(conditions)} ORDER BY {order} DESC LIMIT ?"
    with _reading(path) as file:
        return _records(file, tail, (*values, wanted.limit))


def last(path: Path) -> int:
    """Return the `n` of the latest record, 0 when there is none."""
    with _reading(path) as file:
        return int(file.execute("SELECT coalesce(max(n), 0) FROM requests").fetchone()[0])


def figures(path: Path, route: str, since: float) -> list[Figures]:
    """Return the figures of a route's requests; StoreError if the file cannot be read."""
    with _reading(path) as file:
        rows = file.execute(
            "SELECT coalesce(variant, deployment, ''), shadow_of IS NOT NULL, deployment, outcome, "
            "ttft_s, tpot_s, prompt_tokens, completion_tokens, cost FROM requests "
            "WHERE route = ? AND ended >= ?",
            (route, since),
        )
        return [Figures._make(row) for row in rows]


def _conditions(wanted: Wanted) -> tuple[list[str], list[Any]]:
    same = {name: getattr(wanted, name) for name in ("route", "deployment", "key", "replica")}
    pairs = [(f"q.{name} = ?", value) for name, value in same.items()]
    pairs += [("q.ended >= ?", wanted.since), ("q.ended < ?", wanted.until)]
    pairs += [("q.n > ?", wanted.after)]
    asked = [(condition, value) for condition, value in pairs if value is not None]
    conditions = [f"q.shadow_of IS {'NOT ' if wanted.shadow else ''}NULL"]
    conditions += [condition for condition, _ in asked]
    if wanted.errors:
        conditions.append("q.outcome NOT IN ('ok', 'client_gone')")
    return conditions, [value for _, value in asked]


def _records(file: sqlite3.Connection, tail: str, values: tuple[Any, ...]) -> list[Found]:
    query = f"SELECT q.n, r.record FROM requests q JOIN records r ON r.n = q.n {tail}"  # noqa: S608 - tails are made here, of constants
    return [Found._make(row) for row in file.execute(query, values)]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(str(path))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY)) as file:
            version = file.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise StoreError(f"{path} is of version {version}, and this reads {VERSION}")
            yield file
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
