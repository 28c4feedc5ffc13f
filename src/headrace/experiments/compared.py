"""Two variants side by side, figure by figure, from repeats in turns: what A/B experiments show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headrace.experiments.measured import Measured
from headrace.experiments.repeats import Contrast, contrast
from headrace.experiments.words import number, percent, seconds
from headrace.pages.html import Table


class Shown(NamedTuple):
    """A field of `Measured` and its name for people; `time`: it is in seconds."""

    field: str
    name: str
    time: bool


FIGURES = (
    Shown("output_tokens", "output tokens/s", time=False),
    Shown("requests", "requests/s", time=False),
    Shown("ttft_p50", "TTFT p50", time=True),
    Shown("ttft_p95", "TTFT p95", time=True),
    Shown("tpot_p50", "TPOT p50", time=True),
    Shown("tpot_p95", "TPOT p95", time=True),
    Shown("e2e_p50", "whole answer p50", time=True),
)


def compared(before: Sequence[Measured], after: Sequence[Measured]) -> dict[str, Contrast]:
    """Return by field how two variants differ, for what both have."""
    found = {}
    for shown in FIGURES:
        pair = values(before, shown.field), values(after, shown.field)
        if all(pair):
            found[shown.field] = contrast(*pair)
    return found


def values(some: Sequence[Measured], field: str) -> list[float]:
    """Return a field of each run in which somebody had a whole answer."""
    known = (getattr(one, field) for one in some if one.whole)
    return [float(value) for value in known if value is not None]


def table(rows: Mapping[str, Contrast], before: str, after: str, *, caption: str = "") -> Table:
    """Return the comparison; `rows` are by field, as `compared` makes them."""
    lines = []
    for shown in FIGURES:
        if (one := rows.get(shown.field)) is not None:
            write = seconds if shown.time else number
            change = percent(one.share, signed=True)
            lines.append((shown.name, write(one.before), write(one.after), change, certainty(one)))
    return Table(
        ("", before, after, "change", "certain?"), tuple(lines), words=(0, 4), caption=caption
    )


def certainty(one: Contrast) -> str:
    """Say whether a change is larger than the noise."""
    if one.certain:
        return "yes"
    noise = percent(one.noise_share)
    return "measured once" if noise == "-" else f"no, noise ±{noise}"
