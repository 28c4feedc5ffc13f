"""How much one replica is trusted: ejected when it does badly, brought back with care.

A trusted replica gets what it has room for. An ejected one gets nothing for a while, then one
request as a probe; when that is answered its allowance doubles with each further answer until it
has its room again, and a failure ejects it for twice as long. Pure data on the caller's clock.
`suspicion.py` decides who is ejected, by comparing replicas; `choose.py` obeys.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from headrace.routing.window import SECONDS, Window

FIRST = 5.0
"""Seconds of a first ejection; each further one is twice as long."""
LONGEST = 120.0
"""Seconds of the longest ejection, before jitter."""
JITTER = 0.2
"""An ejection is up to this share longer, so that several replicas do not return at once."""
HEARD_LATE = 1.5
"""Seconds by which the beginning of an answer may be told late: the gateway hears it each second,
not to look at every byte."""
_DOUBLINGS = math.ceil(math.log2(LONGEST / FIRST))


class Standing(Enum):
    """Where a replica stands."""

    SOUND = "sound"
    RETURNING = "returning"
    """Trusted again, with an allowance that grows."""
    EJECTED = "ejected"
    """Nothing before its time; then one probe."""
    PROBED = "probed"
    """Its probe is in flight."""


@dataclass(slots=True)
class Health:
    """One replica's standing and its latest window; `reason` says why it is not trusted.

    `until` ends an ejection, `turned` is when it last was ejected or returned (seconds).
    """

    window: Window = field(default_factory=Window)
    standing: Standing = Standing.SOUND
    reason: str = ""
    slow: bool = False
    """Ejected for its latency alone."""
    until: float = -math.inf
    turned: float = -math.inf
    in_row: int = 0
    """Failures without a success since."""
    chance: Callable[[], float] = random.random
    _old: int = 0
    """Requests in flight from before the ejection, as far as it can be known."""
    _allowed: int = 0
    _doublings: int = 0
    _ttft_limit: float = math.inf

    @property
    def trusted(self) -> bool:
        """Whether it may have more than a probe."""
        standing = self.standing  # asked for each request: hashing an Enum costs a Python call
        return standing is Standing.SOUND or standing is Standing.RETURNING

    def admits(self, running: int, now: float) -> bool:
        """Whether a replica with so many requests in flight may get another one now."""
        match self.standing:
            case Standing.SOUND:
                return True
            case Standing.RETURNING:
                return running < self._allowed
            case Standing.EJECTED:
                return now >= self.until
            case Standing.PROBED:
                return False

    def eject(
        self,
        reason: str,
        now: float,
        *,
        running: int = 0,
        slow: bool = False,
        ttft_limit: float = math.inf,
    ) -> None:
        """Take its work away, but for the `running` requests that it has.

        A probe slower than `ttft_limit` seconds will not bring it back.
        """
        if self.trusted and now - self.turned > SECONDS:
            self._doublings = 0  # what was before a healthy minute is forgotten
        seconds = min(LONGEST, FIRST * 2**self._doublings) * (1 + JITTER * self.chance())
        self._doublings = min(self._doublings + 1, _DOUBLINGS)
        self.standing, self.reason, self.slow = Standing.EJECTED, reason, slow
        self.turned, self.until, self._ttft_limit = now, now + seconds, ttft_limit
        self._old = running

    def sent(self, now: float) -> None:
        """Take note that it gets a request; after an ejection that is the probe."""
        if self.standing is Standing.EJECTED and now >= self.until:
            self.standing = Standing.PROBED

    def released(self, running: int) -> None:
        """Take note that a request is over, and of how many are left.

        With none left a probe is over too; when its client hung up, nothing was learned.
        """
        self._old = max(0, min(self._old - 1, running))
        if self.standing is Standing.PROBED and not running:
            self.standing = Standing.EJECTED

    def began(self, ttft: float, now: float, *, running: int, room: int) -> bool:
        """Take note of an answer that began; return whether the replica may get more for it.

        `ttft` is in seconds since the request was sent to the replica; one that was sent before the
        ejection says nothing about the time after it.
        """
        if self.standing is Standing.RETURNING:
            self._grow(room)
            return True
        if self.trusted or now - ttft < self.turned + HEARD_LATE:
            return False
        if ttft <= self._ttft_limit:
            self._restore(now, running, room)
            return True
        if self.standing is Standing.PROBED:
            self.eject(
                *(self.reason, now),
                running=running,
                slow=self.slow,
                ttft_limit=self._ttft_limit,
            )
        return False

    def ended(
        self, now: float, *, ok: bool, running: int, room: int, tpot: float | None = None
    ) -> None:
        """Take note of an attempt that ended, one of `running`; `tpot` in seconds, if known.

        A success brings an ejected replica back once all it had before is over, for answers whose
        beginning nobody tells.
        """
        self.window.ended(now, ok=ok, tpot=tpot)
        self.in_row = 0 if ok else self.in_row + 1
        if ok and self.standing is Standing.RETURNING:
            self._grow(room)
        elif ok and not self.trusted and not self._old:
            self._restore(now, running, room)

    def _restore(self, now: float, running: int, room: int) -> None:
        """Trust it again, with one request more than it has."""
        self.standing, self.reason, self.turned, self.in_row = Standing.RETURNING, "", now, 0
        self._allow(running + 1, room)

    def _grow(self, room: int) -> None:
        self._allow(2 * self._allowed, room)

    def _allow(self, count: int, room: int) -> None:
        self._allowed = count
        if count >= room:
            self.standing = Standing.SOUND
