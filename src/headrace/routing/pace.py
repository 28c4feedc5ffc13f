"""When a refused client should come back: from the pace of service and the next start."""

from __future__ import annotations

import math
from collections import deque

REMEMBERED = 64
UNKNOWN = 5.0
"""Seconds to suggest when nothing is known."""
LONGEST = 120
"""No client is told to stay away for longer than this (seconds): the estimate is not that good."""


class Pace:
    """How many requests per second have lately been finished, over the last 64 of them."""

    def __init__(self) -> None:
        self._finished: deque[float] = deque(maxlen=REMEMBERED)

    def finished(self, now: float) -> None:
        """Note that a request ended at `now` (seconds)."""
        self._finished.append(now)

    def rate(self, now: float) -> float | None:
        """Return requests per second, or None while fewer than two have finished.

        The time since the last one counts, so that a stalled deployment slows down in the estimate.
        """
        if len(self._finished) < 2:  # noqa: PLR2004  a rate needs two points
            return None
        elapsed = now - self._finished[0]
        return (len(self._finished) - 1) / elapsed if elapsed > 0 else None


def retry_after(ahead: int, rate: float | None, expected_ready: float | None) -> int:
    """Return whole seconds, 1 to 120, after which the work now `ahead` should be done.

    `rate` is in requests per second; `expected_ready` is in how many seconds the next replica is
    ready (None: one is ready, or nobody knows).
    """
    known = [
        value for value in (expected_ready, ahead / rate if rate else None) if value is not None
    ]
    seconds = sum(known) if known else UNKNOWN
    return max(1, min(LONGEST, math.ceil(seconds)))
