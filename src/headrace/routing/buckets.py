"""Token buckets that hold a minute's worth: how much of so many per minute is used up.

A bucket knows what was taken out of it and has not flowed back; `limit` per minute flows back
evenly, and at most `limit` fits. So in any t seconds at most limit x (1 + t/60) is let in: a full
minute's worth at once, then the rate. What is only known later (the tokens of an answer) is taken
out when it is known; the bucket is in debt then, and what comes next waits for that too.

The limit is no part of a bucket: raised or lowered, it counts at once for what is used already.
`allowance.py` puts buckets together to what a key or a route may use.
"""

from __future__ import annotations

from typing import NamedTuple

MINUTE = 60.0
JITTER = 5.0
"""Seconds by which times may come out of order, from processes that read the clock by turns. A
longer step back means that the clock was set; then time goes on from there."""
_INSTANT = 1e-6
"""Seconds that are no wait: a double holds the time of day no finer."""


class Bucket(NamedTuple):
    """What is `used` of a minute's limit as of the Unix time `at`, in seconds."""

    used: float = 0.0
    at: float = 0.0

    def in_use(self, limit: float, now: float) -> float:
        """Return what is used and has not flowed back by `now`."""
        elapsed = now - self.at
        if elapsed <= 0.0:
            return self.used
        used = self.used - elapsed * limit / MINUTE
        return max(0.0, used)

    def ahead(self, now: float) -> bool:
        """Whether the clock was set back since, so that nothing would flow; see `charged`."""
        return self.at > now + JITTER

    def wait(self, limit: float, amount: float, now: float) -> float:
        """Return the seconds until `amount` (at most `limit`) is there; 0: it is now."""
        seconds = (self.in_use(limit, now) + amount - limit) * MINUTE / limit
        return seconds if seconds > _INSTANT else 0.0

    def charged(self, limit: float, amount: float, now: float) -> Bucket:
        """Return the bucket with `amount` taken out, into debt if need be; less than 0 goes back.

        What goes back after it has flowed back already is not given twice.
        """
        used = self.in_use(limit, now) + amount
        at = self.at if now < self.at and not self.ahead(now) else now
        return Bucket(max(0.0, used), at)

    def left(self, limit: float, now: float) -> tuple[int, float]:
        """Return how much is there, in whole units (0 in debt), and in how many seconds all is."""
        used = self.in_use(limit, now)
        return max(0, int(limit - used + limit / MINUTE * _INSTANT)), used * MINUTE / limit
