"""How fast waiting work goes, and what follows: how long a wait is, and when to come back.

Only time in which something waited for room counts: a deployment with little to do is not slow.
`queue.py` keeps a pace for each deployment and asks it about a newcomer's turn.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

REMEMBERED = 64
STALE = 300.0
"""Seconds after which a pace says nothing any more: the replicas are others by then."""
UNKNOWN = 5.0
"""Seconds to suggest when nothing is known."""
LONGEST = 120
"""No client is told to stay away for longer than this (seconds): the estimate is not that good."""
MARGIN = 2.0
"""A wait is hopeless when it is expected to be so many times as long as it may be."""
SLACK = 1.0
"""And longer by so many seconds at least."""


class Rate(NamedTuple):
    """What is finished in a second: tokens of work, and requests. Both are above 0."""

    work: float
    requests: float


class Pace:
    """The rate over the last 64 requests that were finished while others waited for room."""

    def __init__(self) -> None:
        self._finished: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._busy = 0.0
        self._busy_since: float | None = None
        self._last = -math.inf

    def waits(self, now: float, *, something: bool) -> None:
        """Note whether something waits for room from `now` on (seconds)."""
        if something and self._busy_since is None:
            if now - self._last > STALE:
                self.forget()
            self._busy_since = now
        elif not something and self._busy_since is not None:
            self._busy += now - self._busy_since
            self._busy_since, self._last = None, now

    def finished(self, now: float, work: float) -> None:
        """Note that a request of so many tokens of work ended at `now`."""
        if self._busy_since is not None:
            self._finished.append((self._busy_at(now), work))

    def forget(self) -> None:
        """Forget the past: there are more replicas now, or fewer."""
        self._finished.clear()

    def rate(self, now: float) -> Rate | None:
        """Return the rate, or None while fewer than two requests were finished.

        The time since the last one counts, so that a stalled deployment slows down in the estimate.
        """
        if len(self._finished) < 2:  # noqa: PLR2004  a rate needs two points
            return None
        elapsed = self._busy_at(now) - self._finished[0][0]
        work = sum(work for _, work in self._finished) - self._finished[0][1]
        if elapsed <= 0 or work <= 0:
            return None
        return Rate(work / elapsed, (len(self._finished) - 1) / elapsed)

    def _busy_at(self, now: float) -> float:
        """Return the seconds in which something waited, so far."""
        since = self._busy_since
        return self._busy if since is None else self._busy + now - since


def expected_wait(
    ahead: float, rate: Rate | None, until_ready: float | None = None
) -> float | None:
    """Return in how many seconds a request is taken when all replicas are full, if that is known.

    `ahead` is the work that goes before it, in tokens; then the next request that ends makes room
    for it. With `until_ready` no replica is ready, and the next one will be in so many seconds.
    """
    if until_ready is not None:
        return until_ready + (ahead / rate.work if rate else 0.0)
    return None if rate is None else ahead / rate.work + 1 / rate.requests


def retry_after(wait: float | None) -> int:
    """Return the expected wait as whole seconds from 1 to 120, for a refused client."""
    return max(1, min(LONGEST, math.ceil(UNKNOWN if wait is None else wait)))


def hopeless(wait: float | None, max_wait: float) -> bool:
    """Return whether a request had better be refused at once than after its `max_wait` (seconds).

    Only for a clear margin: an estimate that is wrong by a half refuses nobody who has a chance.
    """
    return wait is not None and wait > max(MARGIN * max_wait, max_wait + SLACK)
