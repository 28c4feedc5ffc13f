"""Figures as conclusions write them."""

from __future__ import annotations

import math

from headrace.capacity.words import span
from headrace.experiments.repeats import Contrast

_THREE = 999.5
_LONG, _HOURS = 600, 7200
"""Seconds from which a time is written in minutes, and in hours."""


def sentence(text: str) -> str:
    """Write a clause as a sentence; a setting or command at its beginning stays as it is."""
    if not text:
        return text
    first = text.split(maxsplit=1)[0]
    head = text if "_" in first or first == "headrace" else text[0].upper() + text[1:]
    return head if head[-1] in ".?!:" else f"{head}."


def number(value: float | None) -> str:
    """Write a figure with three digits, thousands in full; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= _THREE else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """Write a time, long ones in minutes or hours; a dash where there is none."""
    if value is None or value < _LONG:
        return "-" if value is None else span(value)
    return f"{value / 60:.0f} min" if value < _HOURS else f"{value / 3600:.3g} h"


def percent(share: float | None, *, signed: bool = False) -> str:
    """Write a share in percent, as `12 %`; a dash where there is none."""
    if share is None or not math.isfinite(share):
        return "-"
    digits = 0 if abs(share) >= 0.095 else 1  # noqa: PLR2004 - two digits where it is small
    return f"{100 * share:{'+' if signed else ''}.{digits}f} %"


def changed(contrast: Contrast, unit: str = "", *, time: bool = False) -> str:
    """Say what became of a figure: `12 -> 14 tokens/s (+17 %)`, or that it is within the noise."""
    write = seconds if time else number
    said = f"{write(contrast.before)} -> {write(contrast.after)}{f' {unit}' if unit else ''}"
    if contrast.certain:
        return f"{said} ({percent(contrast.share, signed=True)})"
    if contrast.once:
        return f"{said} ({percent(contrast.share, signed=True)}, measured once)"
    noise = percent(contrast.noise_share)
    return f"{said} ({percent(contrast.share, signed=True)}, within the noise of ±{noise})"
