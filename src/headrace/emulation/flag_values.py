"""How the values of a twin's flags are read, so that a wrong one is a sentence and no traceback.

`__main__.py` has the flags. A reader's name is what argparse calls the value, in its help too.
"""

from __future__ import annotations

import argparse
import math
import typing
from collections.abc import Callable
from types import NoneType

from headrace.fleet.units import parse_duration

_FACTORS = frozenset({"slow"})
_SIZES = frozenset({"slots", "max_model_len", "kv_tokens", "block_size"})
_PORTS = range(2**16)


def reader(name: str, kind: type) -> Callable[[str], float | int | None]:
    """Return what reads a value; where it may be absent, `none` is its absence."""
    members = typing.get_args(kind) or (kind,)
    number: Callable[[str], float] = _count if int in members else seconds
    if name.endswith("port"):
        number = port
    elif name in _SIZES:
        number = _size
    elif name in _FACTORS:
        number = _factor

    def read(text: str) -> float | int | None:
        return None if NoneType in members and text == "none" else number(text)

    read.__name__ = number.__name__.strip("_")  # argparse names it where a value is wrong
    return read


def _count(text: str) -> int:
    return int(_at_least(0, int(text)))


def _size(text: str) -> int:
    return int(_at_least(1, int(text)))


def _factor(text: str) -> float:
    return _at_least(0, float(text))


def seconds(text: str) -> float:
    """Read seconds, or a duration with its unit."""
    return parse_duration(text) if text[-1:].isalpha() else _at_least(0, float(text))


def port(text: str) -> int:
    """Read a port, 0 included."""
    number = int(text)
    if number not in _PORTS:
        raise argparse.ArgumentTypeError(f"{number} is no port; they go up to {_PORTS[-1]}")
    return number


def _at_least(least: int, number: float) -> float:
    if not least <= number < math.inf:  # which a nan is not either
        raise argparse.ArgumentTypeError(f"{number:g} is not {least} or more")
    return number
