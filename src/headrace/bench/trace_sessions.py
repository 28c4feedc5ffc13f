"""Conversations of a recorded trace: requests of one session whose prompts hold what was said.

A request belongs to the conversation so far if its prompt has more tokens than the one before and
its answer together: the difference is the new message. Else it begins another conversation, since
traces do not say when people started anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from headrace.bench.asks import Ask
from headrace.bench.prose import Prose
from headrace.bench.room import Room
from headrace.bench.shape_asks import wrap
from headrace.bench.talk import Talk
from headrace.bench.trace_prompts import shrunk
from headrace.bench.workload_order import WorkloadOrder
from headrace.traffic.traffic import Traffic


class Place(NamedTuple):
    """Where a request stands: its conversation, its turn, and the tokens that are new in it."""

    session: int
    turn: int
    new: int


def places(trace: Traffic, count: int, shrink: int = 1) -> list[Place]:
    """Return the place of each of the first requests; conversations are numbered as they begin."""
    last: dict[str, tuple[Place, int]] = {}
    found: list[Place] = []
    begun = 0
    for number in range(count):
        prompt, output = shrunk(trace, number, shrink)
        name = trace.sessions[number]
        before, said = last.get(name, (None, 0))
        if name and before is not None and prompt > said:
            place = Place(before.session, before.turn + 1, prompt - said)
        else:
            place, begun = Place(begun, 0, prompt), begun + 1
        last[name] = place, prompt + output
        found.append(place)
    return found


def trace_session_asks(
    order: WorkloadOrder,
    trace: Traffic,
    prose: Prose,
    due: Sequence[float | None],
    room: Room,
) -> Iterator[Ask]:
    """Yield the requests of a trace by their times, later turns with their new message only.

    Where one does not fit into the context its conversation ends.
    """
    own = prose.own(partial(wrap, order.chat, ""))
    talks: dict[int, Talk | None] = {}
    for number, (at, place) in enumerate(
        zip(due, places(trace, len(due), order.shrink), strict=True)
    ):
        talk = talks.setdefault(place.session, Talk(prose, order.chat, ""))
        if talk is None:
            room.left_out += 1
            continue
        _, output = shrunk(trace, number, order.shrink)
        if place.turn:
            taken = talk.go_on(place.session, place.turn, place.new, output, room)
        else:
            taken = talk.begin(place.session, max(1, place.new - own), output, room)
        if taken is None:
            talks[place.session] = None
            continue
        yield Ask(
            number=number,
            prompt=taken.prompt,
            prompt_tokens=taken.total,
            max_tokens=taken.output,
            at=at,
            shape="trace",
            session=place.session,
            turn=place.turn,
        )
