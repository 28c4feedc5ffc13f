"""How figures of a run are written: times with 3 digits, shares in per cent, counts with commas."""

from __future__ import annotations

from headrace.capacity.words import span
from headrace.diagnosis import words


def seconds(value: float | None) -> str:
    """Write a time: `24.1 ms`, `1.64 s`; a dash where there is none."""
    return "-" if value is None else span(value)


def percent(share: float | None) -> str:
    """Write a share of 1 with 2 digits below ten: `0.4 %`, `12 %`."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 or not share else f"{100 * share:.2g} %"  # noqa: PLR2004 - 10 %, rounded


def multiple(share: float) -> str:
    """Write how much of something, before `the`: `12 % of`, from twice on `388 times`."""
    return f"{share:,.0f} times" if share >= 2 else f"{percent(share)} of"  # noqa: PLR2004 - twice


def rate(value: float) -> str:
    """Write a rate with 3 digits: `7.98`, `1,240`."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - 4 digits have commas


def number(value: float | None) -> str:
    """Write a number of things, or their mean, as findings do; a dash where there is none."""
    return "-" if value is None else words.number(value)
