"""What a p50 or a p95 of times is, wherever one is shown: between two of them, by a straight line.

That is `numpy.quantile` unless told otherwise, and so vLLM's own benchmark; `bench.spread` asks
numpy itself, for the very many values of a run. Lengths in tokens are those of real requests
instead (`lengths.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def quantile(values: Iterable[float | None], share: float) -> float | None:
    """Return the quantile at `share` (0 to 1) of the known values, in their unit; None: none is."""
    ordered = sorted(value for value in values if value is not None)
    return quantile_of_ascending(ordered, share) if ordered else None


def quantile_of_ascending(ordered: Sequence[float], share: float) -> float:
    """Return the quantile at `share` (0 to 1) of ascending values; IndexError if there are none."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    beyond = at - low
    if not beyond:
        return ordered[low]
    return ordered[low] + beyond * (ordered[low + 1] - ordered[low])
