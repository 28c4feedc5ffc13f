"""One line of a check: a figure as planned, between which values, and as the engine said it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GIB = 2**30
Unit = Literal["bytes", "block", "blocks", "tokens", "requests"]
"""`block` are the bytes of one block, which are told to the byte."""
AS_PLANNED = "as planned"
WITHIN = "within the assumption"
NEAR = 0.002
"""Sizes that differ by no more are the same: allocators round up, and no decision turns on it."""


@dataclass(frozen=True)
class Row:
    """A figure in `unit`; `low` and `high` are the plan's own bounds for it.

    `difference` is said less planned, `outside` by how much it leaves the bounds, in bytes of the
    cache where it can be told. `exactly` means that it is the planned one, up to rounding.
    """

    part: str
    unit: Unit
    planned: float
    low: float
    high: float
    said: float
    difference: float
    outside: float
    exactly: bool
    verdict: str
    assumption: str

    @property
    def off(self) -> bool:
        """Whether it is outside of the assumption."""
        return self.verdict not in (AS_PLANNED, WITHIN)

    @property
    def range(self) -> str:
        """The bounds in words."""
        high = figure(self.high, self.unit)
        if self.low == self.high:
            return high
        return f"{figure(self.low, self.unit).removesuffix(' GiB')} to {high}"

    @property
    def apart(self) -> str:
        """The difference in words: bytes, and counts in percent."""
        if self.exactly:
            return "0"
        if self.unit == "bytes" or not self.planned:
            return ("+" if self.difference > 0 else "") + figure(self.difference, self.unit)
        return f"{self.difference / self.planned:+.1%}"


@dataclass(frozen=True)
class Planned:
    """What a plan says: a value, its bounds, and what that rests on."""

    value: float
    low: float
    high: float
    assumption: str


def row(
    part: str,
    planned: Planned,
    said: float,
    rounding: float = 0.0,
    *,
    unit: Unit = "bytes",
    blame: str = "",
    times: float = 1.0,
) -> Row:
    """Return the line; `rounding` is how far off a logged figure may be, `blame` what is off then.

    `times` is how often the figure counts: the bytes of one block move the cache by all blocks.
    """
    if unit == "bytes":
        rounding = max(rounding, NEAR * planned.value)
    outside = max(planned.low - said, said - planned.high, 0.0)
    outside = outside if outside > rounding else 0.0
    exactly = abs(said - planned.value) <= rounding
    off = f"off: {blame or part}"
    return Row(
        part=part,
        unit=unit,
        planned=planned.value,
        low=planned.low,
        high=planned.high,
        said=said,
        difference=said - planned.value,
        outside=outside * times,
        exactly=exactly,
        verdict=AS_PLANNED if exactly else off if outside else WITHIN,
        assumption=planned.assumption,
    )


def figure(value: float, unit: Unit) -> str:
    """Write a value with its unit; counts plainly."""
    if unit == "bytes":
        return f"{value / GIB:,.2f} GiB"
    if unit == "block":
        return f"{value:,.0f} bytes"
    return f"{value:,.2f}" if unit == "requests" else f"{value:,.0f}"
