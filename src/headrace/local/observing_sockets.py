"""Clients that are behind: what the kernel still holds of their answers.

A gateway notices a slow client only when the kernel takes no more of the answer, which on Linux can
be megabytes later: a whole answer. The kernel's own table of connections tells at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

BEHIND = 16 * 1024
"""Bytes of an answer not yet taken: some eighty events of a stream, far more than is on its way."""
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_SENDING = frozenset({"01", "04", "08", "09"})
"""States in which something may still be sent: established, and three kinds of being closed."""


def behind(port: int, tables: tuple[Path, ...] = _TABLES) -> int | None:
    """Return how many clients of a local port have that much untaken; None if nobody can say."""
    found = [_queued(path, port) for path in tables]
    told = [queues for queues in found if queues is not None]
    return sum(queue >= BEHIND for queues in told for queue in queues) if told else None


def _queued(table: Path, port: int) -> list[int] | None:
    """Return the bytes in the send queue of each connection of the port."""
    try:
        text = table.read_text(encoding="ascii")
    except OSError:  # not Linux, or not for us
        return None
    return list(_of_port(text, f":{port:04X}"))


def _of_port(text: str, ending: str) -> Iterator[int]:
    for line in text.splitlines()[1:]:
        local, _remote, state, queues = line.split(maxsplit=5)[1:5]
        if local.endswith(ending) and state in _SENDING:
            yield int(queues.partition(":")[0], 16)
