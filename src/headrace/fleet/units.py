"""Durations and sizes as people write them (`90s`, `2GiB`), so that no number lacks a unit.

`types.py` uses these as field types; a bare number is refused because nobody can tell what it
meant.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_BYTES |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
_SIZE = r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$"


def parse_duration(value: object) -> float:
    """Return seconds from text such as `250ms`, `90s`, `5m` or `1h`; else ValueError."""
    text = str(value)
    if not isinstance(value, str) or not re.fullmatch(DURATION, text):
        raise ValueError("expected a duration with its unit: ms, s, m, h or d, such as 90s")
    number, unit = re.findall(r"[\d.]+|\D+$", text)
    return float(number) * _SECONDS[unit]


def format_duration(seconds: float) -> str:
    """Write seconds as a fleet file does, in the largest unit that needs no fraction: `5m`."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds * 1000:g}ms"


def parse_size(value: object) -> int:
    """Return bytes from text such as `2GiB` or `500MB`; ValueError if it is anything else."""
    text = str(value)
    if not isinstance(value, str) or not re.fullmatch(_SIZE, text):
        raise ValueError(
            "expected a size with its unit: B, KiB, MiB, GiB, KB, MB or GB, such as 2GiB"
        )
    number, unit = re.findall(r"[\d.]+|[A-Za-z]+$", text)
    return int(float(number) * _BYTES[unit])


def format_size(size: float) -> str:
    """Write bytes for a person, in binary units with one decimal: `2.0 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:  # noqa: PLR2004 - the step between binary units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["250ms", "90s", "5m"]}),
]
"""Seconds, written with a unit."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": _SIZE, "examples": ["2GiB"]}),
]
"""Bytes, written with a unit."""
