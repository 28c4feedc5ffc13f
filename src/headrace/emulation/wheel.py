"""One timer for all the tokens of a twin: ten thousand streams cost one wake-up each millisecond.

`engine.py` puts its sequences here, each with the time of its next token.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import Protocol

TICK = 0.001
"""Seconds; what is due within one tick happens together."""


class Item(Protocol):
    """What can be put on the wheel."""

    def due(self) -> None:
        """Its time has come."""
        ...


class Wheel:
    """Items by the tick in which they are due."""

    def __init__(self) -> None:
        self._slots: dict[int, list[Item]] = {}
        self._ticks: list[int] = []
        self._armed: tuple[int, asyncio.TimerHandle] | None = None

    def after(self, seconds: float, item: Item) -> None:
        """Have the item called that many seconds from now; never at once, even for 0."""
        loop = asyncio.get_running_loop()
        tick = math.ceil((loop.time() + seconds) / TICK)
        slot = self._slots.get(tick)
        if slot is not None:
            slot.append(item)
            return
        self._slots[tick] = [item]
        heapq.heappush(self._ticks, tick)
        self._arm(loop)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        first = self._ticks[0]
        if self._armed is not None:
            if self._armed[0] <= first:
                return
            self._armed[1].cancel()
        self._armed = (first, loop.call_at(first * TICK, self._run))

    def _run(self) -> None:
        self._armed = None
        loop = asyncio.get_running_loop()
        now = math.ceil(loop.time() / TICK)
        items: list[Item] = []
        while self._ticks and self._ticks[0] <= now:
            items += self._slots.pop(heapq.heappop(self._ticks))
        for item in items:
            try:
                item.due()
            except Exception as defect:  # noqa: BLE001 - a defect in one must not hang the others
                context = {"message": "a twin's own defect", "exception": defect}
                loop.call_exception_handler(context)
        if self._ticks:
            self._arm(loop)
