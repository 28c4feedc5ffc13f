"""Conversations: each turn's request has its new message only, the client knows what came before.

What the answers will be is known while the load runs, so a client puts the earlier messages and the
answers it got in front (`asks.py` has the rule).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from headrace.bench.asks import Ask, Message
from headrace.bench.prose import Prose
from headrace.bench.room import Room
from headrace.bench.shape_asks import choice, prefixes, wrap
from headrace.bench.shape_lengths import Drawn, draw
from headrace.bench.tokens import PROBE, Prompt, Tokenizer
from headrace.bench.workload_order import Sessions, WorkloadOrder

_TURN, _PAUSE = 2, 3
"""What a text, and what a number is for; the first part of its key."""


class Taken(NamedTuple):
    """A turn: its new message, all the tokens before its answer, and that one's at most."""

    prompt: Prompt
    total: int
    output: int


def session_asks(
    order: WorkloadOrder,
    prose: Prose,
    tokenizer: Tokenizer,
    due: Sequence[float | None],
    room: Room,
) -> Iterator[Ask]:
    """Yield the turns of a session for each time, session by session.

    A session ends before the turn that would not fit into the context if all answers were as long
    as they may be.
    """
    sessions = order.sessions or Sessions(turns=1)
    turns = sessions.turns
    beginnings = ["", *prefixes(order.prefix, prose)]
    chosen = choice(order.prefix, len(due), order.seed)
    drawn = draw(order.shapes, len(due) * turns, order.seed)
    for number, at in enumerate(due):
        talk = _Talk(prose, tokenizer, order.chat, beginnings[chosen[number]])
        pauses = _pauses(sessions, order.seed, number)
        for turn, one in enumerate(drawn[number * turns : (number + 1) * turns]):
            taken = talk.turn(number, turn, one, room)
            if taken is None:
                room.left_out += turns - turn - 1
                break
            yield Ask(
                number=number * turns + turn,
                prompt=taken.prompt,
                prompt_tokens=taken.total,
                max_tokens=taken.output,
                at=None if turn else at,
                shape=one.shape,
                session=number,
                turn=turn,
                wait=pauses[turn],
            )


def _pauses(sessions: Sessions, seed: int, session: int) -> list[float]:
    """Return the seconds before each turn: none before the first, else exponential."""
    random = np.random.default_rng([seed, _PAUSE, session])
    drawn = random.exponential(sessions.think, sessions.turns - 1)
    return [0.0, *(float(one) for one in drawn)]


@dataclass
class _Talk:
    """One conversation as far as it has come; `spoken` are tokens that its answers may have."""

    prose: Prose
    tokenizer: Tokenizer
    chat: bool
    beginning: str
    said: list[Message] = field(default_factory=list)
    total: int = 0
    spoken: int = 0

    def turn(self, session: int, turn: int, one: Drawn, room: Room) -> Taken | None:
        """Return the next turn, if it fits."""
        form = partial(_later, self.chat) if turn else partial(wrap, self.chat, self.beginning)
        own = self.prose.own(form)
        length = max(1, one.prompt - self.prose.own(partial(wrap, self.chat, "")))
        key = (_TURN, session, turn)
        if not turn:
            total, output = room.fit(own + length, one.output, own + 1)
            if not total:
                return None
            prompt = self.prose.fitted(self.prose.unlike(total - own, *key), total, form)
        else:
            prompt = self.prose.fitted(self.prose.unlike(length, *key), own + length, form)
            expected = self._with(prompt, length)
            total, output = room.fit(expected, one.output, expected, fixed=True)
            if not total:
                return None
        self._answered(prompt, total, output)
        return Taken(prompt, total, output)

    def _with(self, prompt: Prompt, length: int) -> int:
        """Return the tokens of all that was said, this too, if answers are at their longest."""
        if isinstance(prompt, str):
            return self.total + length
        answers = sum(one.role == "assistant" for one in self.said)
        probes = answers * self.prose.length(PROBE)
        return self.tokenizer.count((*self.said, *prompt)) - probes + self.spoken

    def _answered(self, prompt: Prompt, total: int, output: int) -> None:
        self.total, self.spoken = total + output, self.spoken + output
        if not isinstance(prompt, str):
            self.said += [*prompt, Message("assistant", PROBE)]


def _later(chat: bool, text: str) -> Prompt:
    """Return a later turn's prompt: what a client puts behind all that was said."""
    return wrap(chat, "", text) if chat else f" {text.lstrip()}"
