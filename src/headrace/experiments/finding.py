"""What an experiment ends with: words with figures in them, tables, plots, doubts, what is next.

`page.py` shows it in a terminal, `report.py` as a page for a browser, `keep.py` writes it down.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.pages.html import Table

FINDING, REPORT = "finding.json", "report.html"
"""Files of a finding in an experiment's folder."""


class Series(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line or a group of bars; `spread` is how far repeats lay from `y`, above and below."""

    name: str
    x: tuple[float | str, ...]
    y: tuple[float | None, ...]
    spread: tuple[float, ...] = ()


class Plot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A plot as data; `reading` says in a sentence how to read it.

    `marks` are vertical lines at values of x, `levels` horizontal ones, with words on them.
    """

    heading: str
    reading: str
    x: str
    y: str
    series: tuple[Series, ...]
    kind: Literal["lines", "bars"] = "lines"
    marks: tuple[tuple[float, str], ...] = ()
    levels: tuple[tuple[float, str], ...] = ()


class Conclusion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the figures say. The first of `words` is the answer to the experiment's question.

    `figures` are the numbers of the whole, `variants` those of each label that was measured (as
    `Change.label`; one that changed nothing is "as it is"); `doubts` say why they may not be
    believed; `next` is the next experiment to run, in words.
    """

    words: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    figures: dict[str, Figure] = {}
    variants: dict[str, dict[str, Figure]] = {}
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
