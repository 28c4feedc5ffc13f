"""What one replica did lately: outcomes, TTFT and TPOT of the last minute, in bounded memory.

Pure data; `health.py` keeps one for each replica, `suspicion.py` compares them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

SECONDS = 60.0
"""How far a window looks back."""
SAMPLES = 256
"""At most so many samples of each kind: a busy replica's window is shorter than a minute."""
ALWAYS = -math.inf


class Counts(NamedTuple):
    """Attempts that ended, and how many of them failed."""

    requests: int
    failures: int

    @property
    def share(self) -> float:
        """The share of failures; 0 when nothing ended."""
        return self.failures / self.requests if self.requests else 0.0


class Series:
    """The latest values of one kind, with their times (seconds on the caller's clock)."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, now: float, value: float) -> None:
        """Append a value; the oldest goes when there are too many."""
        self._samples.append((now, value))

    def recent(self, now: float, since: float = ALWAYS) -> list[float]:
        """Return the values of the last minute that came at `since` or later."""
        return list(self._recent(max(since, now - SECONDS)))

    def _recent(self, start: float) -> Iterator[float]:
        for time, value in reversed(self._samples):
            if time < start:
                return
            yield value


class Window:
    """The lately ended attempts on one replica, and its latencies in seconds."""

    __slots__ = ("_failed", "tpot", "ttft")

    def __init__(self) -> None:
        self.ttft, self.tpot = Series(), Series()
        self._failed = Series()

    def ended(self, now: float, *, ok: bool, tpot: float | None = None) -> None:
        """Take note of an attempt that ended."""
        self._failed.add(now, 0.0 if ok else 1.0)
        if tpot is not None:
            self.tpot.add(now, tpot)

    def counts(self, now: float, since: float = ALWAYS) -> Counts:
        """Return how many attempts ended in the last minute, at `since` or later."""
        failed = self._failed.recent(now, since)
        return Counts(len(failed), round(sum(failed)))
