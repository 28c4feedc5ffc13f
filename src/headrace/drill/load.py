"""Many clients: each asks, waits for its whole answer, and asks again, until enough was asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from headrace.drill.asks import Ask
from headrace.drill.client import Stream, Target, connect, finish, unconnected
from headrace.drill.seen import Seen

_AFTER_REFUSAL = 0.2
"""Seconds that a client waits after it was turned away, as well-behaved ones do."""


@dataclass(frozen=True)
class Plan:
    """How much is asked: at least `streams`, `concurrency` at a time; `patience` in seconds."""

    streams: int
    concurrency: int
    patience: float


class Load:
    """The clients; `heard` gets each answer once it is over, `flight` is what runs now."""

    def __init__(
        self, target: Target, plan: Plan, ask: Callable[[int], Ask], heard: Callable[[Seen], None]
    ) -> None:
        self._target, self._plan, self._ask, self._heard = target, plan, ask, heard
        self.flight: dict[int, Stream] = {}
        self.begun = 0
        self.all_begun = asyncio.Event()
        """Set once as many requests were begun as were planned."""
        self.ended = 0

    async def run(self, more: Callable[[], bool]) -> None:
        """Ask until the planned number was begun and nobody wants `more`; return at the end."""
        async with asyncio.TaskGroup() as clients:
            for _ in range(min(self._plan.concurrency, self._plan.streams)):
                clients.create_task(self._client(more))

    async def _client(self, more: Callable[[], bool]) -> None:
        while not self.all_begun.is_set() or more():
            number = self.begun
            self._count()
            seen = await self._one(self._ask(number))
            self.ended += 1
            self._heard(seen)
            if not seen.times:
                await asyncio.sleep(_AFTER_REFUSAL)

    def _count(self) -> None:
        self.begun += 1
        if self.begun >= self._plan.streams:
            self.all_begun.set()

    async def _one(self, ask: Ask) -> Seen:
        stream = await connect(self._target, ask)
        if stream is None:
            return unconnected(ask)
        self.flight[ask.number] = stream
        try:
            return await finish(stream, self._plan.patience)
        finally:
            del self.flight[ask.number]

    def share(self) -> float:
        """Return how far the streams in flight are, 0 to 1, on average; 0 if there is none."""
        shares = [_share(one) for one in self._running()]
        return sum(shares) / len(shares) if shares else 0.0

    def well_under_way(self, share: float) -> Counter[str]:
        """Return how many streams of each replica are past `share` (0 to 1) of their answers."""
        return Counter(
            one.replica for one in self._running() if one.replica and _share(one) > share
        )

    def _running(self) -> list[Stream]:
        return [one for one in self.flight.values() if one.ask.stream]


def _share(stream: Stream) -> float:
    return min(1.0, stream.events / stream.ask.tokens)
