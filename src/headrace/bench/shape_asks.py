"""Requests of shapes: unlike each other, but for the beginning that they are to share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from headrace.bench.asks import Ask, Message, Prompt
from headrace.bench.prose import Prose
from headrace.bench.room import Room
from headrace.bench.shape_lengths import draw
from headrace.bench.workload_order import HotPrefix, WorkloadOrder

_UNIQUE, _SHARED = 0, 1
"""What a text is for; the first part of its key."""


def shape_asks(
    order: WorkloadOrder, prose: Prose, due: Sequence[float | None], room: Room
) -> Iterator[Ask]:
    """Yield a request for each time, of the order's shapes."""
    beginnings = prefixes(order.prefix, prose)
    chosen = choice(order.prefix, len(due), order.seed)
    wraps = [partial(wrap, order.chat, beginning) for beginning in ("", *beginnings)]
    own = [prose.own(one) for one in wraps]
    drawn = draw(order.shapes, len(due), order.seed)
    for number, (at, one, which) in enumerate(zip(due, drawn, chosen, strict=True)):
        # What is shared comes on top: the text is as long as it would be without it.
        more = own[which] - own[0]
        total, output = room.fit(one.prompt + more, one.output, own[which] + 1)
        if total:
            words = prose.unlike(total - own[which], _UNIQUE, number)
            yield Ask(
                number=number,
                prompt=prose.fitted(words, total, wraps[which]),
                prompt_tokens=total,
                max_tokens=output,
                at=at,
                shape=one.shape,
            )


def wrap(chat: bool, beginning: str, text: str) -> Prompt:
    """Return a prompt of a text, behind a beginning that may be empty."""
    if not chat:
        return f"{beginning} {text.lstrip()}" if beginning else text
    user = Message("user", text)
    return (Message("system", beginning), user) if beginning else (user,)


def prefixes(prefix: HotPrefix | None, prose: Prose) -> list[str]:
    """Return the texts that are shared, each of as many tokens as were asked for."""
    if prefix is None:
        return []
    form = partial(wrap, False, "")  # as text, whatever it becomes part of
    total = prefix.tokens + prose.own(form)
    words = (prose.unlike(prefix.tokens, _SHARED, copy) for copy in range(prefix.copies))
    return [str(prose.fitted(one, total, form)) for one in words]


def choice(prefix: HotPrefix | None, count: int, seed: int) -> list[int]:
    """Return which beginning each request has, from 1; 0 is none. The share is met exactly."""
    chosen = np.zeros(count, dtype=int)
    if prefix is not None:
        sharing = round(prefix.share * count)
        chosen[:sharing] = 1 + np.arange(sharing) % prefix.copies
    return [int(one) for one in np.random.default_rng([seed, _SHARED]).permutation(chosen)]
