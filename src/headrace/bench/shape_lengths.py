"""Which request is of which shape, and how long: exact shares, in an order drawn by the seed.

Sampling would give every seed another mix and another tail; here a seed changes the order only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from headrace.bench.workload_order import Length, Shape
from headrace.traffic.declared import declare
from headrace.traffic.traffic import Counts


class Drawn(NamedTuple):
    """One request's shape, and tokens of its prompt and its answer."""

    shape: str
    prompt: int
    output: int


def draw(shapes: Sequence[Shape], count: int, seed: int) -> list[Drawn]:
    """Return `count` requests of these shapes by their weights; TrafficError for wrong lengths."""
    found: list[Drawn] = []
    parts = zip(shapes, shares([shape.weight for shape in shapes], count), strict=True)
    for place, (shape, number) in enumerate(parts):
        if number:
            prompts, outputs = _lengths(shape, number, seed + place)
            found += map(Drawn, [shape.name] * number, prompts.tolist(), outputs.tolist())
    return [found[one] for one in np.random.default_rng(seed).permutation(count)]


def shares(weights: Sequence[float], count: int) -> list[int]:
    """Return how many of `count` each weight gets, by largest remainders."""
    exact = np.array(weights, dtype=float) * count / sum(weights)
    whole = np.floor(exact).astype(int)
    most = np.argsort(whole - exact, kind="stable")
    whole[most[: count - whole.sum()]] += 1
    return [int(one) for one in whole]


def output_lengths(output: Length, count: int, seed: int) -> list[int]:
    """Return tokens of `count` answers."""
    lengths: list[int] = _lengths(Shape("", Length(1, 1), output), count, seed)[1].tolist()
    return lengths


def _lengths(shape: Shape, count: int, seed: int) -> tuple[Counts, Counts]:
    prompt, output = shape.prompt, shape.output
    of = declare(1, prompt.p50, prompt.p99, output.p50, output.p99, count=count, seed=seed)
    return of.prompts, of.outputs
