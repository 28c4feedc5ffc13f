"""When a replica has been silent for too long while it works on a request.

Looked at once a second, so that no byte costs a timer. `exchange.py` carries the verdict out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.gateway.control import ReplicaState

FAILED = 2.0
"""Seconds without a byte from a replica that the runtime calls failed until its work moves."""
SUSPICIOUS = 5.0
"""Seconds without a byte in the middle of a stream until the runtime is asked to look."""
SUSPICIOUS_START = 30.0
"""The same before the first token."""

Verdict = Literal["", "look", "leave", "move"]
"""What to do: nothing, have the replica looked at, move if it costs nothing, or move now."""


@dataclass(slots=True)
class Silence:
    """One attempt: `since` is the time of the last progress (monotonic seconds)."""

    since: float
    bytes: int = 0
    suspected: bool = False

    def heard(self, count: int, now: float, *, paused: bool) -> float:
        """Take note of the bytes so far; return for how many seconds there were no new ones.

        While the client makes us pause, silence says nothing.
        """
        if count != self.bytes or paused:
            self.bytes, self.since, self.suspected = count, now, False
        return now - self.since

    def verdict(
        self, seconds: float, limit: float, state: ReplicaState | None, *, speaking: bool
    ) -> Verdict:
        """Return what to do after so many seconds; `speaking`: after the first token."""
        if state == "leaving":
            return "leave"
        if (state == "failed" and seconds >= FAILED) or (speaking and seconds >= limit):
            return "move"
        suspicious = SUSPICIOUS if speaking else SUSPICIOUS_START
        if seconds >= suspicious and not self.suspected:
            self.suspected = True
            return "look"
        return ""
