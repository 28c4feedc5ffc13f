"""When to start again after a crash, and when to stop trying. Clock and chance come from outside.

Each deployment has one `Restarts`; `replicaset.py` tells it about crashes, health and people who
ask to try again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST = 1.0
"""Seconds before the first new start; doubled after each crash in a row."""
LONGEST = 60.0
"""Seconds that no wait exceeds."""
HEALTHY = 300.0
"""Seconds of health after which earlier crashes are forgotten."""
NEVER_READY = 4
"""Crashes in a row without a ready replica: the engine cannot start; trying on helps nobody."""
OFTEN = 5
"""Crashes within `WINDOW`: it starts, but does not hold."""
WINDOW = 600.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """Crashes of one deployment: `times` in seconds, `unready` in a row before any was ready."""

    times: tuple[float, ...] = ()
    row: int = 0
    unready: int = 0
    not_before: float = 0.0

    @property
    def given_up(self) -> bool:
        """Whether this is a crash loop: nothing starts until someone asks for it."""
        return self.unready >= NEVER_READY or len(self.times) >= OFTEN

    def crashed(self, now: float, *, was_ready: bool, chance: float) -> Restarts:
        """Return the state after a crash; `chance` in [0, 1) spreads the waits of many."""
        times = (*(at for at in self.times if now - at < WINDOW), now)
        wait = min(LONGEST, FIRST * 2.0**self.row * (1 + chance / 2))
        return Restarts(
            times=times,
            row=min(self.row + 1, 10),
            unready=0 if was_ready else self.unready + 1,
            not_before=max(self.not_before, now + wait),
        )

    def ready(self) -> Restarts:
        """Return the state after a replica became ready: it can start."""
        return replace(self, unready=0)

    def healthy(self) -> Restarts:
        """Return the state after `HEALTHY` seconds of health, or when someone says: try again."""
        return Restarts()

    def may_start(self, now: float) -> bool:
        """Whether a start is allowed now (seconds)."""
        return not self.given_up and now >= self.not_before
