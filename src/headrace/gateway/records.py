"""One line of JSON for each finished request: what happened, never what was said.

Lines are collected and written every half second by a thread, so that a slow disk delays no
stream. A disk that fails costs lines, which are counted, and nothing else. The file is readable by
its owner only; past `ROTATE_AT` it becomes `<name>.1` and a new one begins.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

import msgspec

FLUSH_EVERY = 0.5
"""Seconds between writes."""
ROTATE_AT = 64 * 1024 * 1024
"""Bytes of a file before the next one begins."""
MAX_BUFFERED = 20_000
"""Lines that wait for the disk; more are dropped."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one request. Times are in seconds; `bytes` is the body sent to the client.

    `attempts` counts the replicas that were tried, `continuations` how often another one went on
    with an answer that had begun. `outcome` is `ok`, `refused` (never given to a replica),
    `client_gone` or a kind of error; `error` is the kind in either bad case. `tokens_from` says
    where the counts come from: `usage` (the engine's word), `events` (one event counted as one
    token) or null.
    """

    id: str
    time: datetime
    route: str | None
    model: str | None
    deployment: str | None
    replica: str | None
    path: str
    stream: bool
    status: int
    outcome: str
    error: str | None
    held_s: float
    queued_s: float
    ttft_s: float | None
    duration_s: float
    tpot_s: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    tokens_from: str | None
    attempts: int
    continuations: int
    bytes: int


class Log:
    """Where records go; without a path, nowhere. `dropped` counts lines that could not be kept."""

    def __init__(self, path: str | None) -> None:
        self.dropped = 0
        self.path = path
        self._file = Path(path) if path else None
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode

    def add(self, record: Record) -> None:
        """Take a record; it is on disk half a second later."""
        if self._file is None:
            return
        if len(self._lines) >= MAX_BUFFERED:
            self.dropped += 1
            return
        self._lines.append(self._encode(record) + b"\n")

    async def write_soon(self) -> None:
        """Wait half a second and write what has been collected by then, in a thread."""
        await asyncio.sleep(FLUSH_EVERY)
        if self._lines:
            lines, self._lines = self._lines, []
            self.dropped += await asyncio.to_thread(self._write, lines)

    def flush(self) -> None:
        """Write at once what has been collected."""
        lines, self._lines = self._lines, []
        self.dropped += self._write(lines)

    def _write(self, lines: list[bytes]) -> int:
        """Append lines to the file; return how many were lost."""
        if self._file is None or not lines:
            return 0
        try:
            _append(self._file, b"".join(lines))
        except OSError:
            return len(lines)
        return 0


def _append(path: Path, data: bytes) -> None:
    if path.exists() and path.stat().st_size + len(data) > ROTATE_AT:
        path.replace(path.with_name(path.name + ".1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
