"""The steady state of a replica that a fixed number of clients keep busy: a closed loop.

Each sends its next request when it has its last answer, so by Little's law the rate is the one at
which rate times the time of a request are as many as there are clients.
"""

from __future__ import annotations

from headrace.capacity.steady import State, Steady

_HALVINGS = 24
_ALMOST = 1 - 1e-6
"""Of the highest rate: beyond it there is no state."""
_LEAST = 1e-6
"""Of the highest rate: where a request is alone."""


def closed_loop(steady: Steady, clients: float) -> State | None:
    """Return the state with so many requests in flight; None if not even one fits.

    More clients than the replica serves at once wait, which is not in the state's times.
    """
    highest = steady.highest_rate if steady.most >= 1 else 0.0
    if highest <= 0:
        return None
    low, high = highest * _LEAST, highest * _ALMOST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        state = steady.at(middle)
        fewer = state is not None and middle * state.e2e < clients
        low, high = (middle, high) if fewer else (low, middle)
    return steady.at(low)
