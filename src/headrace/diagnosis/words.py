"""Figures as findings write them: times with 3 digits, shares in per cent."""

from __future__ import annotations

_MINUTE = 60


def span(seconds: float) -> str:
    """Write a time: `24.1 ms`, `1.64 s`, `5 min`."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.3g} s"
    return f"{seconds / _MINUTE:.3g} min"


def percent(share: float) -> str:
    """Write a share of 1: `12 %`."""
    return f"{100 * share:.0f} %"


def number(mean: float) -> str:
    """Write a mean number of things: `1,070`, with 3 digits below a hundred: `2.57`."""
    return f"{mean:,.0f}" if mean >= 100 else f"{mean:.3g}"  # noqa: PLR2004 - 3 digits


def count(many: int, thing: str) -> str:
    """Write how many: `1 request`, `5,000 requests`."""
    return f"{many:,} {thing}{'' if many == 1 else 's'}"
