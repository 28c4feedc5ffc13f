"""Two small things that stopping needs: how urgent it is, and whether work is still in flight.

`replica.py` and `supervisor.py` wait for them.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum


class Urgency(IntEnum):
    """How much patience there is with work in flight; it only ever rises."""

    NONE = 0
    DRAIN = 1
    """Finish what runs."""
    TERM = 2
    """SIGTERM now."""
    KILL = 3
    """SIGKILL now."""


class Patience:
    """An urgency that others can wait for."""

    def __init__(self) -> None:
        self.urgency = Urgency.NONE
        self._raised = {level: asyncio.Event() for level in Urgency if level}

    def lose(self, urgency: Urgency) -> None:
        """Raise the urgency; a lower one than now changes nothing."""
        self.urgency = max(self.urgency, urgency)
        for level, raised in self._raised.items():
            if level <= self.urgency:
                raised.set()

    async def lost(self, urgency: Urgency) -> None:
        """Return when it is at least this urgent."""
        await self._raised[urgency].wait()


class Flight:
    """Requests that the gateway has bound to a replica, by its last word."""

    def __init__(self) -> None:
        self.count = 0
        self._told = asyncio.Event()

    def tell(self, count: int) -> None:
        """Take the gateway's latest count."""
        self.count = count
        self._told.set()

    async def landed(self, settle: float) -> None:
        """Return when none is in flight, by a count that came `settle` seconds from now or later.

        Earlier counts may be older than the gateway's knowledge that the replica drains.
        """
        await asyncio.sleep(settle)
        while True:
            self._told.clear()
            await self._told.wait()
            if self.count == 0:
                return
