"""What an experiment ends with: words with figures in them, tables, plots, doubts, what is next.

`page.py` shows it in a terminal, `report.py` as a page for a browser, `keep.py` writes it down.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from headrace.experiments.case import Case
from headrace.pages.html import Table


class Series(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line or a group of bars; `spread` is how far repeats lay from `y`, above and below."""

    name: str
    x: tuple[float | str, ...]
    y: tuple[float | None, ...]
    spread: tuple[float, ...] = ()


class Plot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A plot as data; `reading` says in a sentence how to read it.

    `marks` are vertical lines (or horizontal ones with `level`) with words on them.
    """

    heading: str
    reading: str
    x: str
    y: str
    series: tuple[Series, ...]
    kind: Literal["lines", "bars"] = "lines"
    marks: tuple[tuple[float, str], ...] = ()
    levels: tuple[tuple[float, str], ...] = ()


class Support(msgspec.Struct, frozen=True):
    """A flag for which the result speaks, or against which: `holds` is the sentence's direction."""

    flag: str
    value: Any
    holds: bool
    why: str


class Conclusion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the figures say. The first of `words` is the answer to the experiment's question.

    `figures` are the numbers behind the words by name, with their unit in the name (`_seconds`,
    `_per_second`); `doubts` why they may not be believed; `next` the next experiment, in words.
    """

    words: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    figures: dict[str, float | int | str | None] = {}
    doubts: tuple[str, ...] = ()
    supports: tuple[Support, ...] = ()
    next: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conclusion with what it is of; `points` are what was measured, `runs` their folders."""

    name: str
    question: str
    case: Case
    conclusion: Conclusion
    began: str
    """UTC, ISO 8601."""
    seconds: float
    points: tuple[Any, ...] = ()
    runs: tuple[str, ...] = ()
