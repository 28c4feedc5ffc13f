"""Items by a number that may change, least first: what waits, and whose turn it is.

A heap in which a removed item leaves an empty entry behind: every step costs O(log n), and nothing
removed is kept alive. `flows.py` orders callers and their requests with it, `waiting.py` deadlines.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")

SLACK = 32
"""Empty entries that are not worth tidying up."""


class Ordered(dict[T, list[Any]]):
    """Items by key, ties by their number (both given to `put`); iteration is in order of `put`.

    A dictionary of heap entries, for its length and iteration at the speed of C: every request asks
    several times. Change it by `put` and `drop` alone.
    """

    __slots__ = ("_heap", "_puts")

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[list[Any]] = []
        self._puts = 0

    def put(self, item: T, key: float, number: int) -> None:
        """Add an item, or move it to another key."""
        if item in self:
            self[item][3] = None
        self._puts += 1
        entry = self[item] = [key, number, self._puts, item]
        heap = self._heap
        heappush(heap, entry)
        if len(heap) > 2 * len(self) + SLACK:
            self._heap = list(self.values())
            heapify(self._heap)

    def key(self, item: T) -> float:
        """Return an item's key; KeyError when it is not there."""
        key: float = self[item][0]
        return key

    def drop(self, item: T) -> None:
        """Remove an item; KeyError when it is not there."""
        self.pop(item)[3] = None
        if not self:
            self._heap.clear()

    def first(self) -> T | None:
        """Return the item with the least key, or None when there is none."""
        heap = self._heap
        while heap:
            item: T | None = heap[0][3]
            if item is not None:
                return item
            heappop(heap)
        return None
