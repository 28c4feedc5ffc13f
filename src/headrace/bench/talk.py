"""One conversation while its requests are made: what was said, and how long it may have become."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from headrace.bench.asks import Message, Prompt
from headrace.bench.prose import Prose
from headrace.bench.room import Room
from headrace.bench.shape_asks import wrap
from headrace.bench.tokens import PROBE

_TURN = 2
"""What a text is for; the first part of its key."""


class Taken(NamedTuple):
    """A turn: its new message, all the tokens before its answer, and that one's at most."""

    prompt: Prompt
    total: int
    output: int


@dataclass
class Talk:
    """One conversation as far as it has come; `spoken` are tokens that its answers may have."""

    prose: Prose
    chat: bool
    beginning: str
    said: list[Message] = field(default_factory=list)
    total: int = 0
    spoken: int = 0

    def begin(self, session: int, length: int, output: int, room: Room) -> Taken | None:
        """Return the first turn, if it fits: a text of `length` tokens behind the beginning."""
        form = partial(wrap, self.chat, self.beginning)
        own = self.prose.own(form)
        total, output = room.fit(own + length, output, own + 1)
        if not total:
            return None
        words = self.prose.unlike(total - own, _TURN, session)
        return self._answered(self.prose.fitted(words, total, form), total, output)

    def go_on(self, session: int, turn: int, length: int, output: int, room: Room) -> Taken | None:
        """Return the next turn, if it fits: a new message of `length` tokens."""
        form = partial(_later, self.chat)
        words = self.prose.unlike(length, _TURN, session, turn)
        prompt = self.prose.fitted(words, self.prose.own(form) + length, form)
        expected = self._with(prompt, length)
        total, output = room.fit(expected, output, expected, fixed=True)
        return self._answered(prompt, total, output) if total else None

    def _with(self, prompt: Prompt, length: int) -> int:
        """Return the tokens of all that was said, this too, if answers are at their longest."""
        if isinstance(prompt, str):
            return self.total + length
        answers = sum(one.role == "assistant" for one in self.said)
        probes = answers * self.prose.length(PROBE)
        return self.prose.tokenizer.count((*self.said, *prompt)) - probes + self.spoken

    def _answered(self, prompt: Prompt, total: int, output: int) -> Taken:
        self.total, self.spoken = total + output, self.spoken + output
        if not isinstance(prompt, str):
            self.said += [*prompt, Message("assistant", PROBE)]
        return Taken(prompt, total, output)


def _later(chat: bool, text: str) -> Prompt:
    """Return a later turn's prompt: what a client puts behind all that was said."""
    return wrap(chat, "", text) if chat else f" {text.lstrip()}"
