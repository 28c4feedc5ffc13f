"""Static batching, as a plain `generate` loop serves: what continuous batching is compared with.

Up to `size` waiting requests become a batch. All prompts are padded to the longest and read
together, then all decode until the longest answer is complete, and only then is the next batch
formed; nobody gets an answer before that.
"""

from __future__ import annotations

import numpy as np

from headrace.capacity.efficiency import Efficiency
from headrace.capacity.roofline import Batch, Roofline, chunk_pairs
from headrace.capacity.served import Served
from headrace.capacity.setup import Setup
from headrace.traffic.traffic import Traffic


def serve_static(traffic: Traffic, setup: Setup, efficiency: Efficiency, size: int) -> Served:
    """Return how one replica serves `traffic` in static batches; `size` 1 is one by one.

    First and last token of a request are both at the end of its batch: nothing is streamed.
    """
    if size < 1:
        raise ValueError(f"a static batch of {size} requests serves nobody; give at least 1")
    roofline = Roofline(setup, efficiency)
    started, last = np.empty(traffic.count), np.empty(traffic.count)
    now, begin = 0.0, 0
    while begin < traffic.count:
        now = max(now, float(traffic.arrivals[begin]))
        waiting = int(np.searchsorted(traffic.arrivals, now, side="right"))
        end = min(begin + size, waiting)
        started[begin:end] = now
        longest_prompt = int(traffic.prompts[begin:end].max())
        longest_output = int(traffic.outputs[begin:end].max())
        now += batch_time(roofline, end - begin, longest_prompt, longest_output)
        last[begin:end] = now
        begin = end
    return Served(traffic, started, last.copy(), last)


def batch_time(roofline: Roofline, size: int, prompt: int, output: int) -> float:
    """Return the seconds of one batch of `size` requests, padded to these lengths in tokens."""
    reading = roofline.step(Batch(0, 0, size * prompt, size * chunk_pairs(prompt)))
    steps = max(output - 1, 0)
    # A step's time is linear in the context but for a bend, so the mean of the ends is the mean.
    first = roofline.step(Batch(size, size * (prompt + 1)))
    final = roofline.step(Batch(size, size * (prompt + steps)))
    return reading + steps * (first + final) / 2
