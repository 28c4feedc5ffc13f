"""Variants in turns: A B, then B A, then A B. What drifts meanwhile is then no difference.

Neighbours that are the same share a copy, so two repeats of two variants need three starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from headrace.experiments.change import Change
from headrace.experiments.copies import Copy
from headrace.experiments.lab import Lab

T = TypeVar("T")


def turns(variants: Sequence[T], repeats: int) -> Iterator[tuple[int, T]]:
    """Yield (repeat, variant), each repeat in the opposite order of the one before."""
    for repeat in range(repeats):
        yield from ((repeat, one) for one in (variants if repeat % 2 == 0 else variants[::-1]))


async def in_turns(
    lab: Lab,
    changes: Sequence[Change],
    repeats: int,
    body: Callable[[Copy, Change, int], Awaitable[None]],
) -> None:
    """Call `body` with a copy of each change, `repeats` times; copies run one at a time."""
    for change, some in grouped(list(turns(changes, repeats))):
        async with lab.copy(change) as copy:
            for repeat in some:
                await body(copy, change, repeat)


def grouped(order: Sequence[tuple[int, T]]) -> Iterator[tuple[T, list[int]]]:
    """Yield each variant with the repeats that follow each other."""
    now: tuple[T, list[int]] | None = None
    for repeat, one in order:
        if now is not None and now[0] == one:
            now[1].append(repeat)
            continue
        if now is not None:
            yield now
        now = (one, [repeat])
    if now is not None:
        yield now
