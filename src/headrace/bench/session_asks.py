"""Conversations: each turn's request has its new message only, the client knows what came before.

What the answers will be is known while the load runs, so a client puts the earlier messages and the
answers it got in front (`asks.py` has the rule).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from headrace.bench.asks import Ask
from headrace.bench.prose import Prose
from headrace.bench.room import Room
from headrace.bench.shape_asks import choice, prefixes, wrap
from headrace.bench.shape_lengths import draw
from headrace.bench.talk import Talk
from headrace.bench.workload_order import Sessions, WorkloadOrder

_PAUSE = 3
"""What a number is for; part of its seed."""


def session_asks(
    order: WorkloadOrder,
    prose: Prose,
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
    own = prose.own(partial(wrap, order.chat, ""))
    for number, at in enumerate(due):
        talk = Talk(prose, order.chat, beginnings[chosen[number]])
        pauses = _pauses(sessions, order.seed, number)
        for turn, one in enumerate(drawn[number * turns : (number + 1) * turns]):
            length = max(1, one.prompt - own)
            if turn:
                taken = talk.go_on(number, turn, length, one.output, room)
            else:
                taken = talk.begin(number, length, one.output, room)
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
