"""What batching does to cost and latency: one replica from a single request to all it can hold.

A replica costs the same an hour however many it serves, so each request that shares its steps makes
all of them cheaper, and a little slower: the curve that a choice of rate is a point of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.capacity.cost import Cost, cost
from headrace.capacity.lengths import Lengths
from headrace.capacity.steady import State, Steady

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Of the highest rate: beyond, waiting outgrows everything."""
ALONE = 1e-3
"""Share of the highest rate at which a request is as good as alone."""


@dataclass(frozen=True)
class Point:
    """A replica in `state`, and what a request costs in it."""

    state: State
    cost: Cost


def curve(
    steady: Steady, lengths: Lengths, hour: float, shares: Sequence[float] = SHARES
) -> tuple[Point, ...]:
    """Return points at shares of the highest rate; `hour` is what the replica costs in one."""
    highest = steady.highest_rate
    states = [steady.at(share * highest) for share in shares] if highest > 0 else []
    return tuple(
        Point(state, cost(hour, state.rate, lengths.prompt, lengths.output))
        for state in states
        if state is not None
    )


def one_at_a_time(steady: Steady, lengths: Lengths, hour: float) -> Cost | None:
    """Return what a request costs where the next is begun only when the last has ended.

    None if not even one fits. 1,000 requests then take 1,000 times the time of a lone one.
    """
    state = alone(steady)
    if state is None:
        return None
    return cost(hour, 1 / state.e2e, lengths.prompt, lengths.output)


def alone(steady: Steady) -> State | None:
    """Return the state of a replica that has one request at a time, None if not even one fits."""
    return steady.at(ALONE * steady.highest_rate) if steady.most >= 1 else None
