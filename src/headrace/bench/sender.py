"""When each request is sent: an open loop by the clock, a closed one by its answers.

Both are one queue of due times with an exact timer: what is due is sent, whatever is in flight. In
an open loop the due times are there from the beginning; in a closed one each answer makes the next.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from time import monotonic

from headrace.bench.alarm import Alarm
from headrace.bench.answers import Answer
from headrace.bench.asks import Ask, Message
from headrace.bench.client import Client
from headrace.bench.exchange import Exchange
from headrace.bench.load import Load
from headrace.bench.request import Writer, messages
from headrace.bench.target import Target

Unit = Sequence[Ask]
"""A request of its own, or the turns of a session."""


class _Talk:
    """A unit under way: the turns that are left, and what was said."""

    __slots__ = ("left", "said")

    def __init__(self, unit: Unit) -> None:
        self.left = deque(unit)
        self.said: tuple[Message, ...] = ()


_Entry = tuple[float, int, _Talk]


class Sender:
    """Sends the asks of one process; `tell` is given every answer."""

    def __init__(
        self,
        target: Target,
        load: Load,
        asks: Iterable[Ask],
        tell: Callable[[Answer], None],
        *,
        mark: str = "bench",
    ) -> None:
        self._load, self._tell = load, tell
        self._writer = Writer(target, load, mark)
        self._units: Iterator[Unit] = iter(units(asks))
        self._client = Client(target, load, self._ended)
        self._talks: dict[Exchange, _Talk] = {}
        self._due: list[_Entry] = []
        self._ready: dict[int, bytes] = {}
        self._alarm = Alarm(self._ring)
        self._over = asyncio.Event()
        self._origin = 0.0
        self.sent = 0
        self.worst_lag = 0.0
        """Since somebody last set it to zero; seconds."""

    @property
    def running(self) -> int:
        """How many requests are in flight."""
        return len(self._client.open)

    async def prepare(self) -> None:
        """Do what would make the first request late."""
        await self._client.prepare()

    async def run(self, origin: float) -> None:
        """Send everything, times from `origin` on the monotonic clock; return when all is over."""
        self._origin = origin
        many = self._load.concurrency
        for unit in islice(self._units, many):
            self._push(0.0 if many else unit[0].at or 0.0, _Talk(unit))
        watch = asyncio.create_task(self._client.watch())
        try:
            self._arm()
            await self._over.wait()
        finally:
            watch.cancel()
            self._client.close()
            self._alarm.close()

    def stop(self) -> None:
        """Send no more and end what is in flight."""
        self._units = iter(())
        self._due.clear()
        self._talks.clear()
        self._client.stop()
        self._arm()

    def _push(self, due: float, talk: _Talk) -> None:
        if self._load.seconds is None or due < self._load.seconds:
            heapq.heappush(self._due, (due, talk.left[0].number, talk))

    def _arm(self) -> None:
        """Set the timer for what is due next, and write that request beforehand."""
        if self._due:
            due, number, talk = self._due[0]
            if number not in self._ready:
                self._ready[number] = self._writer.request(talk.left[0], talk.said)
            if self._has_room():
                self._alarm.set(self._origin + due)
        elif not self._client.open:
            self._over.set()

    def _has_room(self) -> bool:
        most = self._load.most_in_flight
        return most is None or len(self._client.open) < most

    def _ring(self) -> None:
        while self._due and self._has_room():
            due, number, talk = self._due[0]
            if self._origin + due > monotonic():
                break
            heapq.heappop(self._due)
            self._send(due, number, talk)
        self._arm()

    def _send(self, due: float, number: int, talk: _Talk) -> None:
        ask = talk.left.popleft()
        request = self._ready.pop(number, None) or self._writer.request(ask, talk.said)
        at = self._origin + due
        self.sent += 1
        self.worst_lag = max(self.worst_lag, monotonic() - at)
        keep = self._load.keep_texts or bool(talk.left)
        self._talks[self._client.send(ask, at, request, keep_text=keep)] = talk

    def _ended(self, exchange: Exchange) -> None:
        ask, load = exchange.ask, self._load
        due = exchange.due - self._origin
        answer = exchange.answer(
            self._origin,
            warmup=ask.number < load.warmup or due < load.warmup_seconds,
            keep_text=load.keep_texts,
        )
        talk = self._talks.pop(exchange, None)
        if talk is not None:
            self._next(talk, exchange, answer)
        self._tell(answer)
        self._arm()

    def _next(self, talk: _Talk, exchange: Exchange, answer: Answer) -> None:
        """Queue what comes after an answer: the next turn, or in a closed loop the next unit."""
        if talk.left and answer.failure is None:
            said = Message("assistant", "".join(exchange.reply.text or ()))
            talk.said = (*talk.said, *messages(exchange.ask.prompt), said)
            following = talk.left[0]
            not_before = 0.0 if self._load.concurrency else following.at or 0.0
            self._push(max(answer.ended + following.wait, not_before), talk)
        elif self._load.concurrency and (unit := next(self._units, None)):
            self._push(answer.ended + unit[0].wait, _Talk(unit))


def units(asks: Iterable[Ask]) -> list[Unit]:
    """Return asks as units by first number: sessions with turns in order, the others alone."""
    alone = [(ask,) for ask in asks if ask.session is None]
    in_sessions = sorted(
        (ask for ask in asks if ask.session is not None),
        key=lambda ask: (ask.session or 0, ask.turn),
    )
    sessions = [tuple(turns) for _, turns in groupby(in_sessions, key=lambda ask: ask.session)]
    return sorted([*alone, *sessions], key=lambda unit: unit[0].number)
