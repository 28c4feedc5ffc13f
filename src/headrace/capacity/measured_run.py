"""A run that a real engine has served, request by request, as `calibration.py` needs it.

The field names are those of LLMServingSim's recordings; whoever reads a file decodes its lines and
gives them here. Times need a common clock, with one exception: `arrival_time` may be on another
one if `queued_ts`, the arrival on the engine's clock, is there too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from headrace.capacity.served import Served
from headrace.traffic.traffic import Traffic

LENGTHS = ("input_toks", "output_toks")
STAMPS = ("first_token_ts", "last_token_ts")


def read_run(
    lines: Iterable[Mapping[str, Any]], source: str, numbers: Iterable[int] | None = None
) -> Served:
    """Return the run in the order of its arrivals, with time starting at the first.

    Raises ValueError for a line that lacks a field or whose values make no sense; `numbers` are
    those of the lines in their file, by default 1, 2, ...
    """
    numbered = zip(itertools.count(1) if numbers is None else numbers, lines, strict=False)
    rows = [_row(line, number, source) for number, line in numbered]
    if not rows:
        raise ValueError(f"{source}: no requests in it; record at least some dozens")
    table = np.array(sorted(rows))
    table[:, (0, 3, 4)] -= table[0, 0]
    arrivals, prompts, outputs, first, last = table.T
    traffic = Traffic(arrivals, prompts.astype(np.int64), outputs.astype(np.int64), source)
    return Served(traffic, started=np.full(len(rows), np.nan), first=first, last=last)


def _row(line: Mapping[str, Any], number: int, source: str) -> tuple[float, ...]:
    """Return arrival, prompt, output, first and last token of one line."""
    arrival = "queued_ts" if "queued_ts" in line else "arrival_time"
    values = []
    for name in (arrival, *LENGTHS, *STAMPS):
        value = line.get(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ValueError(f"{source}:{number}: {name} must be a number, not {value!r}")
        values.append(float(value))
    came, prompt, output, first, last = values
    if prompt < 1 or output < 1:
        raise ValueError(f"{source}:{number}: input_toks and output_toks must be at least 1")
    if not came <= first <= last:
        raise ValueError(
            f"{source}:{number}: {arrival}, first_token_ts and last_token_ts must follow "
            f"each other on one clock, not {came}, {first}, {last}"
        )
    return tuple(values)
