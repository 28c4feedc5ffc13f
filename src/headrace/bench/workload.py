"""From an order to the requests that are sent: `build`.

Times first, for they say how many requests there are; then texts. `shape_asks.py`,
`session_asks.py`, `prompt_file.py` and `trace_prompts.py` make them, `prose.py` writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from headrace.bench.asks import Ask
from headrace.bench.prompt_file import Line, file_asks, read_prompts
from headrace.bench.prose import Prose
from headrace.bench.room import Room
from headrace.bench.session_asks import session_asks
from headrace.bench.shape_asks import shape_asks
from headrace.bench.tokens import Tokenizer
from headrace.bench.trace_prompts import trace_asks
from headrace.bench.trace_sessions import trace_session_asks
from headrace.bench.workload_order import WorkloadOrder
from headrace.traffic.arrivals import MOST, times
from headrace.traffic.errors import TrafficError
from headrace.traffic.importers import read_traffic
from headrace.traffic.traffic import Traffic

MOST_TOKENS = 200_000_000
"""Of all prompts together: their texts take about 5 bytes each, in memory."""


def build(order: WorkloadOrder, tokenizer: Tokenizer, notes: list[str] | None = None) -> list[Ask]:
    """Return the requests of a load, by number; what was left out or changed is added to `notes`.

    In rising order of their times; sessions one behind the other. Where the tokenizer is an
    estimate nobody knows `prompt_tokens`, and they are None. TrafficError if the order contradicts
    itself or nothing is left of it, TokenizerError if no prompts of its lengths can be made.
    """
    room = Room(order.context, order.misfit)
    said: list[str] = [] if notes is None else notes
    asks = _bounded(_asks(order, tokenizer, room, said))
    said += room.notes()
    if not asks:
        raise TrafficError("no request is left: " + ("; ".join(said) or "none was asked for"))
    return [
        msgspec.structs.replace(
            one, number=number, prompt_tokens=one.prompt_tokens if tokenizer.exact else None
        )
        for number, one in enumerate(asks)
    ]


def _asks(
    order: WorkloadOrder, tokenizer: Tokenizer, room: Room, notes: list[str]
) -> Iterable[Ask]:
    _check(order)
    if order.file:
        lines = read_prompts(Path(order.file))
        due = _due(order, len(lines))
        return file_asks(order, lines, tokenizer, _repeats(due, lines, notes), room)
    prose = Prose(tokenizer, order.seed, room)
    if order.trace:
        trace = read_traffic(Path(order.trace))
        notes += trace.notes
        due = _shorter(_due(order, trace.count, trace), trace, order, notes)
        if trace.sessions and not trace.sharing:
            return trace_session_asks(order, trace, prose, due, room)
        return trace_asks(order, trace, prose, due, room)
    if order.sessions is not None:
        return session_asks(order, prose, _due(order, None), room)
    return shape_asks(order, prose, _due(order, None), room)


def _check(order: WorkloadOrder) -> None:
    """Raise TrafficError for parts that contradict each other, or would not be heard."""
    if sum(map(bool, (order.shapes, order.file, order.trace))) != 1:
        raise TrafficError("prompts come from shapes, a file or a trace: give one of the three")
    if (order.sessions or order.prefix) and not order.shapes:
        raise TrafficError(
            "sessions and shared prefixes are made of shapes, not of a file or trace"
        )
    if order.shrink != 1 and not order.trace:
        raise TrafficError(f"only a trace can be shrunk ({order.shrink}), and there is none")


def _due(
    order: WorkloadOrder, there: int | None, trace: Traffic | None = None
) -> list[float | None]:
    """Return when requests, or first turns, are due; `there` is how many prompts a source has."""
    count = order.count if order.count is not None or order.duration is not None else there
    if count is not None and order.sessions is not None:
        count = max(1, round(count / order.sessions.turns))
    if order.arrivals is None:
        return [None] * _closed(count)
    due = times(order.arrivals, count, order.duration, order.seed, trace)
    return [float(one) for one in due]


def _shorter(
    due: list[float | None], trace: Traffic, order: WorkloadOrder, notes: list[str]
) -> list[float | None]:
    """Return the times for which the trace has requests; note if it has too few."""
    wanted = len(due) if order.count is None else order.count
    if wanted > trace.count:
        notes.append(f"the trace has {trace.count:,} requests only, of {wanted:,} asked for")
    return due[: trace.count]


def _closed(count: int | None) -> int:
    if count is None:
        raise TrafficError("a closed loop needs to know how many requests: give a count")
    if not 1 <= count <= MOST:
        raise TrafficError(f"{count:,} requests: from 1 to {MOST:,} can be sent")
    return count


def _repeats(due: list[float | None], lines: list[Line], notes: list[str]) -> list[float | None]:
    """Return the times; note if there are more of them than prompts."""
    if len(due) > len(lines):
        notes.append(
            f"{len(lines):,} prompts for {len(due):,} requests: each comes again, and a prefix"
            " cache knows it then"
        )
    return due


def _bounded(asks: Iterable[Ask]) -> list[Ask]:
    found, tokens = [], 0
    for ask in asks:
        found.append(ask)
        tokens += ask.prompt_tokens or 0
        if tokens > MOST_TOKENS:
            raise TrafficError(
                f"more than {MOST_TOKENS:,} tokens of prompts; take fewer requests, or shrink them"
            )
    return found
