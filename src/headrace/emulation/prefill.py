"""Prompts on their way into a twin's cache, one after the other: why a long one holds up others.

Each takes the time of its uncached tokens, after that of loading its adapter if that is not there.
`engine.py` begins a turn for each request that got a slot; `cache.py` knows what is cached.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from headrace.emulation.adapters import Adapters
from headrace.emulation.behaviour import Behaviour
from headrace.emulation.books import Books
from headrace.emulation.cache import Lease, PrefixCache
from headrace.emulation.wheel import Wheel


class Turn:
    """One prompt; `done` is called when it is in the cache."""

    def __init__(
        self, owner: Prefills, prompt: Sequence[int], adapter: str, done: Callable[[], None]
    ) -> None:
        self.prompt, self.adapter, self.done = prompt, adapter, done
        self.lease: Lease | None = None
        """None until its turn has come."""
        self.since = asyncio.get_running_loop().time()
        self._owner = owner

    def due(self) -> None:
        """Its prefill is over, unless it has left meanwhile."""
        self._owner.due(self)


class Prefills:
    """The prefills of one twin; `slow` is a factor on their time."""

    def __init__(
        self, behaviour: Behaviour, adapters: Adapters, wheel: Wheel, books: Books
    ) -> None:
        self.cache = PrefixCache(
            behaviour.kv_tokens, behaviour.block_size, finds=not behaviour.no_prefix_caching
        )
        self.slow = 1.0
        self._behaviour, self._adapters = behaviour, adapters
        self._wheel, self._books = wheel, books
        self._waiting: deque[Turn] = deque()
        self._now: Turn | None = None
        self._until = 0.0
        """When the last prefill ends or ended, by the loop's clock, which no rounding delays."""

    def begin(self, prompt: Sequence[int], adapter: str, done: Callable[[], None]) -> Turn:
        """Compute a prompt after those before it."""
        turn = Turn(self, prompt, adapter, done)
        self._waiting.append(turn)
        if self._now is None:
            self._go_on()
        return turn

    def due(self, turn: Turn) -> None:
        """End the prefill that is under way, if it is this one's."""
        if turn is self._now:
            self._end(turn)
            self._go_on()

    def leave(self, turn: Turn, generated: Sequence[int]) -> None:
        """Give up what a request holds, at any time of its life.

        What it generated stays cached, but for the last token, which was never fed back. A prefill
        that is broken off leaves nothing (vLLM keeps the chunks that are done).
        """
        if turn.lease is None:
            self._waiting.remove(turn)
            return
        if turn is not self._now:
            self.cache.grow(turn.lease, generated[:-1])
        self.cache.give_back(turn.lease)
        if turn is self._now:
            self._until = asyncio.get_running_loop().time()
            self._go_on()

    def _go_on(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting:
            turn = self._now = self._waiting.popleft()
            self._until = max(self._until, turn.since) + self._seconds(turn)
            if self._until > now:
                self._wheel.after(self._until - now, turn)
                return
            self._end(turn)
        self._now = None

    def _seconds(self, turn: Turn) -> float:
        turn.lease = self.cache.take(turn.adapter, turn.prompt)
        cached, whole = turn.lease.cached, len(turn.prompt)
        self._books.prefix_queries += whole
        self._books.prefix_hits += cached
        load = self._behaviour.adapter_load if self._adapters.load(turn.adapter) else 0.0
        return (load + (whole - cached) / 1000 * self._behaviour.prefill) * self.slow

    def _end(self, turn: Turn) -> None:
        if turn.lease is not None:
            self.cache.grow(turn.lease)
        turn.done()
