"""A recorded trace as requests: its lengths and times, and prompts that share what its own shared.

Where a trace has block hashes, each hash becomes a text of a block's tokens, always the same, and a
prompt is the texts of its hashes one behind the other, cut to its length: what a prefix cache can
find is then what the hashes say. A chat's template comes on top, because cutting the end for it
could make two prompts one; engines' blocks are then shifted against the trace's by its tokens.

For a small model a trace is shrunk: lengths and block size are divided by one factor, rounding
lengths up. The factor must divide the block size, so every prompt keeps its number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from headrace.bench.asks import Ask
from headrace.bench.prose import Prose
from headrace.bench.room import Room
from headrace.bench.shape_asks import wrap
from headrace.bench.workload_order import WorkloadOrder
from headrace.traffic.errors import TrafficError
from headrace.traffic.traffic import Traffic

_REST = 5
"""What a text is for; the first part of its key."""


def trace_asks(
    order: WorkloadOrder,
    trace: Traffic,
    prose: Prose,
    due: Sequence[float | None],
    room: Room,
) -> Iterator[Ask]:
    """Yield the first requests of a trace, one for each time."""
    block = shrunk_block(trace, order.shrink)
    form = partial(wrap, order.chat, "")
    own = prose.own(form)
    for number, at in enumerate(due):
        hashes = trace.sharing.of(number) if trace.sharing else []
        length, output = shrunk(trace, number, order.shrink)
        asked = length + own if hashes else length
        total, output = room.fit(asked, output, own + 1)
        if total:
            words = _words(prose, hashes, block, total - own, number)
            yield Ask(
                number=number,
                prompt=prose.fitted(words, total, form),
                prompt_tokens=total,
                max_tokens=output,
                at=at,
                shape="trace",
            )


def shrunk(trace: Traffic, number: int, shrink: int) -> tuple[int, int]:
    """Return the tokens of a request's prompt and answer when lengths are divided."""
    return -(-int(trace.prompts[number]) // shrink), -(-int(trace.outputs[number]) // shrink)


def shrunk_block(trace: Traffic, shrink: int) -> int:
    """Return the tokens of a block when lengths are divided; TrafficError if none are left."""
    block = trace.sharing.block if trace.sharing else 0
    if shrink < 1 or block % shrink:
        raise TrafficError(
            f"{trace.source}: blocks of {block} tokens cannot be divided by {shrink};"
            " take a factor that divides them"
        )
    return block // shrink


def _words(prose: Prose, hashes: Sequence[int], block: int, number: int, request: int) -> list[str]:
    """Return the words of a prompt: its blocks', and unique ones where it has more tokens."""
    words: list[str] = []
    for one in hashes:
        if len(words) >= number:
            break
        words += prose.block(block, one, first=not words)
    del words[number:]
    more = number - len(words)
    return words + (prose.unlike(more, _REST, request) if more else [])
