"""One answer over an OpenAI-compatible API, whole or as a stream, with every way it can go wrong.

A `Voice` has one engine's shapes. An ordinary event of a stream is made from bytes prepared once
per choice: only its text differs from the one before. A client that leaves stops the work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headrace.emulation.engine import Finish, Sequence, TwinEngine
from headrace.emulation.http import Exchange, dumps
from headrace.emulation.request import Ask
from headrace.emulation.text import decode

_TEXT = "\ue000text\ue000"
_ID = -917_360_053
"""Marks in a prepared event; no token or text of the twin is like them."""
GARBAGE = b"\xff\x00 not an event \x80\n\n"


@dataclass(frozen=True)
class Delta:
    """What one event of a stream says about one choice.

    `offset`: characters before it.
    """

    index: int
    text: str
    tokens: tuple[int, ...] = ()
    finish: Finish | None = None
    stopped_by: str | None = None
    first: bool = False
    offset: int = 0


@dataclass
class Result:
    """One finished choice."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish: Finish = "length"
    stopped_by: str | None = None
    cached: int = 0
    """Tokens of the prompt that were in the prefix cache."""


class Failure(NamedTuple):
    """An error: the status of a whole answer, and its body, which a stream gets as an event."""

    status: int
    body: dict[str, Any]
    event: dict[str, Any]


class Voice(Protocol):
    """An engine's words: JSON objects of its answers."""

    @property
    def prefix(self) -> bytes:
        """What an event begins with."""
        ...

    @property
    def done(self) -> bytes:
        """The last event."""
        ...

    @property
    def splits_end(self) -> bool:
        """Whether a chat's finish reason comes in an event after the last token's."""
        ...

    def head(self, ask: Ask) -> dict[str, Any]:
        """Return what all events of an answer, or the whole one, begin with."""
        ...

    def opening(self, ask: Ask, head: dict[str, Any], index: int) -> dict[str, Any] | None:
        """Return the event that comes before a choice's first token, if there is one."""
        ...

    def event(self, ask: Ask, head: dict[str, Any], delta: Delta) -> dict[str, Any]:
        """Return an event."""
        ...

    def running_usage(self, ask: Ask, tokens: int) -> dict[str, Any]:
        """Return what each event says about usage, where that was asked for."""
        ...

    def closing(self, ask: Ask, head: dict[str, Any], tokens: int, cached: int) -> dict[str, Any]:
        """Return the usage event; `cached` tokens of the prompt were in the prefix cache."""
        ...

    def whole(self, ask: Ask, head: dict[str, Any], results: list[Result]) -> dict[str, Any]:
        """Return the whole answer."""
        ...

    def failure(self, finish: Finish) -> Failure | None:
        """Return the error in place of an answer that ended so; None where it has its own shape."""
        ...


def answer(exchange: Exchange, engine: TwinEngine, ask: Ask, voice: Voice) -> None:
    """Begin to answer."""
    failure = voice.failure("error") if engine.dead else None
    if failure is not None:
        exchange.reply(failure.status, failure.body)
    else:
        (_Stream if ask.stream else _Whole)(exchange, ask, voice).begin(engine)


class _Answer:
    """What both kinds share: sequences side by side, and a client that may leave."""

    def __init__(self, exchange: Exchange, ask: Ask, voice: Voice) -> None:
        self._exchange, self._ask, self._voice = exchange, ask, voice
        self._head = voice.head(ask)
        self._sequences: list[Sequence] = []
        self._left = len(ask.wishes)

    def _submit(self, engine: TwinEngine) -> None:
        self._exchange.gone = self._leave
        for index, wish in enumerate(self._ask.wishes):
            self._sequences.append(engine.submit(wish, self, index))

    def _leave(self) -> None:
        for sequence in self._sequences:
            sequence.leave()

    def step(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        """Take a step; see `Sink`."""
        raise NotImplementedError

    def reset(self) -> None:
        """Break the connection."""
        self._leave()
        if not self._exchange.over:
            self._exchange.reset()

    def garbage(self) -> None:
        """Nothing to spoil."""


class _Whole(_Answer):
    def begin(self, engine: TwinEngine) -> None:
        """Generate."""
        self._results = [Result() for _ in self._ask.wishes]
        self._failure: Failure | None = None
        self._submit(engine)

    def step(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        """Keep it; reply at the end."""
        result = self._results[of.index]
        result.text += text
        if token is not None:
            result.tokens.append(token)
        if finish is None:
            return
        result.finish, result.stopped_by, result.cached = finish, of.stopped_by, of.cached
        self._failure = self._failure or self._voice.failure(finish)
        self._left -= 1
        if not self._left and not self._exchange.over:
            self._reply()

    def _reply(self) -> None:
        if self._failure is not None:
            self._exchange.reply(self._failure.status, self._failure.body)
        else:
            for index, result in enumerate(self._results):
                if self._ask.echo:
                    result.text = decode(self._ask.prompt(index)) + result.text
            self._exchange.reply(200, self._voice.whole(self._ask, self._head, self._results))

    def reset(self) -> None:
        """Break off inside the body."""
        if not self._exchange.over:
            self._exchange.send_raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
        super().reset()


class _Stream(_Answer):
    def begin(self, engine: TwinEngine) -> None:
        """Generate; the head is sent before the first token."""
        self._exchange.begin()
        count = len(self._ask.wishes)
        self._prepared: list[tuple[bytes, bytes] | None] = [None] * count
        self._offsets = [0] * count
        self._begun: set[int] = set()
        self._tokens = 0
        self._cached = 0
        self._failed = self._opened = False
        ask = self._ask
        unusual = ask.raw_ids or ask.running_usage or ask.logprobs is not None
        self._ordinary = not unusual
        self._submit(engine)

    def _open(self) -> None:
        """Send what comes before a first token: engines do so when they have that token."""
        self._opened = True
        for index in range(len(self._ask.wishes)):
            opening = self._voice.opening(self._ask, self._head, index)
            if opening is not None:
                self._event(opening)

    def step(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        """Send an event; after the last one, the rest."""
        if self._exchange.over:
            return
        self._tokens += token is not None
        if finish is None and of.count > 1 and token is not None and self._ordinary:
            before, after = self._prepared[of.index] or self._prepare(of.index)
            middle = _escaped(text)
            if self._ask.ids:
                start, end = after.split(b"%d" % _ID, 1)
                after = b"%b%d%b" % (start, token, end)
            self._exchange.send(b"%b%b%b" % (before, middle, after))
            return
        if finish is None:
            self._unusual(of, token, text, None)
        else:
            self._end(of, token, text, finish)

    def _end(self, of: Sequence, token: int | None, text: str, finish: Finish) -> None:
        if of.index == 0:
            self._cached = of.cached
        failure = self._voice.failure(finish)
        if failure is not None:
            self._failed = True
            self._event(failure.event)
        elif self._voice.splits_end and self._ask.chat and (token is not None or text):
            self._unusual(of, token, text, None)
            self._unusual(of, None, "", finish)
        else:
            self._unusual(of, token, text, finish)
        self._left -= 1
        if not self._left:
            self._close()

    def _prepare(self, index: int) -> tuple[bytes, bytes]:
        delta = Delta(index, _TEXT, tokens=(_ID,))
        event = self._frame(self._voice.event(self._ask, self._head, delta))
        before, after = event.split(_TEXT.encode(), 1)
        self._prepared[index] = before, after
        return before, after

    def _unusual(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        if not self._opened:
            self._open()
        first = of.index not in self._begun
        self._begun.add(of.index)
        if first and self._ask.echo:
            text = decode(self._ask.prompt(of.index)) + text
        tokens = () if token is None else (token,)
        offset = self._offsets[of.index]
        self._offsets[of.index] += len(text)
        delta = Delta(of.index, text, tokens, finish, of.stopped_by, first, offset)
        event = self._voice.event(self._ask, self._head, delta)
        if self._ask.running_usage:
            event |= self._voice.running_usage(self._ask, self._tokens)
        self._event(event)

    def _close(self) -> None:
        if self._ask.usage and not self._failed:
            last = self._voice.closing(self._ask, self._head, self._tokens, self._cached)
            self._event(last)
        self._exchange.send(self._voice.done)
        self._exchange.end()

    def _frame(self, event: dict[str, Any]) -> bytes:
        return b"%b%b\n\n" % (self._voice.prefix, dumps(event))

    def _event(self, event: dict[str, Any]) -> None:
        self._exchange.send(self._frame(event))

    def garbage(self) -> None:
        """Send bytes that are no event."""
        self._exchange.send(GARBAGE)


def _escaped(text: str) -> bytes:
    return dumps(text)[1:-1]
