"""The gamma distribution's cumulative shares, which neither Python nor numpy has.

By the series for small arguments and the continued fraction for large ones (Numerical Recipes, 3rd
edition, 6.2), to about 12 digits.
"""

from __future__ import annotations

import math

import numpy as np

from headrace.traffic.traffic import Seconds

_ROUNDS = 2000
_CLOSE = 1e-13
_TINY = 1e-300


def regularised_gamma(shape: float, at: Seconds) -> Seconds:
    """Return P(shape, x) for each x >= 0: the share below x of a gamma distribution of scale 1."""
    return np.array([_lower(shape, float(x)) for x in at])


def _lower(shape: float, x: float) -> float:
    if x <= 0:
        return 0.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        return min(1.0, front * _series(shape, x))
    return max(0.0, 1.0 - front * _fraction(shape, x))


def _series(shape: float, x: float) -> float:
    term = total = 1 / shape
    for n in range(1, _ROUNDS):
        term *= x / (shape + n)
        total += term
        if term < total * _CLOSE:
            break
    return total


def _fraction(shape: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    total = d
    for n in range(1, _ROUNDS):
        a = -n * (n - shape)
        b += 2
        d = 1 / _away_from_0(a * d + b)
        c = _away_from_0(b + a / c)
        total *= d * c
        if abs(d * c - 1) < _CLOSE:
            break
    return total


def _away_from_0(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
