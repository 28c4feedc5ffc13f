"""Cells and JSON values as numbers: whole tokens, and moments in seconds.

What comes from outside may be text, a number, or something else; each function returns the number
or raises ValueError with words that follow the column's name: "is negative (-3)".
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

MOST_TOKENS = 1_000_000_000
"""In one request; more is a mistake, and sums stay far below 2**63."""
LATEST = 1e11
"""Seconds after 1970: the year 5138. Larger numbers of that kind are milliseconds."""
MOST_HASHES = 1_000_000
"""Blocks of one prompt."""
_BITS = 63
_SHOWN = 40

N = TypeVar("N", int, float, list[int])
Reader = Callable[[object], N]
"""Turns one value into tokens (int), seconds (float), or hashes (list)."""


def read(line: Mapping[str, Any], key: str, reader: Reader[N]) -> N:
    """Return what a JSON object has under a key; ValueError names the key."""
    if key not in line:
        raise ValueError(f"{key} is missing")
    try:
        return reader(line[key])
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None


def tokens(value: object) -> int:
    """Return a number of tokens; `12.0` is 12, as tables that once had gaps write it."""
    number = value if type(value) is int else _number(value)
    if number < 0:
        raise ValueError(f"is negative ({_show(value)})")
    if number > MOST_TOKENS:
        raise ValueError(f"is too large ({_show(value)}); at most {MOST_TOKENS:,} tokens")
    if number != int(number):
        raise ValueError(f"is no whole number ({_show(value)})")
    return int(number)


def hashes(value: object) -> list[int]:
    """Return the hashes of a prompt's blocks, which fit into 64 bits with a sign."""
    if not isinstance(value, list) or len(value) > MOST_HASHES:
        raise ValueError(f"is no list of at most {MOST_HASHES:,} hashes ({_show(value)})")
    if any(type(one) is not int or one.bit_length() > _BITS for one in value):
        raise ValueError(f"has something that is no whole number of 64 bits ({_show(value)})")
    return value


def seconds(value: object) -> float:
    """Return seconds since whatever the trace counts from."""
    return _moment(_number(value), value)


def milliseconds(value: object) -> float:
    """Return seconds; the value is in milliseconds."""
    return _moment(_number(value) / 1000, value)


def moment(value: object) -> float:
    """Return seconds; the value is a date with time (UTC if it names no zone) or Unix time.

    Unix times in milliseconds, and in nano- or microseconds, are known by their size.
    """
    if isinstance(value, str) and ":" in value:
        return _moment(_date(value), value)
    number = _number(value)
    while number > LATEST:
        number /= 1000
    return _moment(number, value)


def _date(value: str) -> float:
    try:
        date = dt.datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"is no date and time ({_show(value)})") from None
    return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()


def _number(value: object) -> float:
    if value is None or value == "":
        raise ValueError("is empty")
    try:
        number = float(repr(value) if isinstance(value, bool) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"is no number ({_show(value)})") from None
    if not math.isfinite(number):
        raise ValueError(f"is not finite ({_show(value)})")
    return number


def _moment(number: float, value: object) -> float:
    if number < 0:
        raise ValueError(f"is negative ({_show(value)})")
    if number > LATEST:
        raise ValueError(f"is too large ({_show(value)}); a time in seconds was expected")
    return number


def _show(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
