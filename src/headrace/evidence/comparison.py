"""Two results side by side: first in what they were of different things, then their figures.

A pure function; `headrace evidence compare` shows it. Which of two figures of one experiment is
better, and by how much for certain, the experiment says itself: it has the raw values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from headrace.evidence.fingerprint import Fingerprint, differences, workload_differences
from headrace.evidence.result import Evidence, Figure, Variant

Differ = Callable[[Fingerprint, Fingerprint], tuple[str, ...]]
Verdict = Literal["differs", "may be chance", "spread unknown"]
"""`differs`: the ranges in which the two lie with 95 % confidence do not touch. That is stricter
than a test of the difference would be, as it needs no raw values."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both; `ratio` is the second by the first, None where one is missing or 0."""

    variant: str
    name: str
    first: Figure | None
    second: Figure | None
    ratio: float | None
    verdict: Verdict | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`setting` and `workload` say in what the two differ, of which variant; `alone` has no pair.

    With an empty `setting` and `workload` the same was measured twice.
    """

    setting: tuple[str, ...]
    workload: tuple[str, ...]
    rows: tuple[Row, ...]
    alone: tuple[str, ...]


def compare(first: Evidence, second: Evidence) -> Comparison:
    """Compare variants of the same name, or the only ones, whatever they are called."""
    pairs = list(_pairs(first, second))
    paired = {id(one) for pair in pairs for one in pair}
    rows = [row for old, new in pairs for row in _rows(old.name, old.figures, new.figures)]
    return Comparison(
        setting=_said(pairs, differences),
        workload=_said(pairs, workload_differences),
        rows=(*_rows("", first.figures, second.figures), *rows),
        alone=tuple(
            f"{one.name} of {whole.id}"
            for whole in (first, second)
            for one in whole.variants
            if id(one) not in paired
        ),
    )


def _pairs(first: Evidence, second: Evidence) -> Iterator[tuple[Variant, Variant]]:
    if len(first.variants) == len(second.variants) == 1:
        yield first.variants[0], second.variants[0]
        return
    for one in first.variants:
        other = second.variant(one.name)
        if other is not None:
            yield one, other


def _said(pairs: Sequence[tuple[Variant, Variant]], differ: Differ) -> tuple[str, ...]:
    """Say each difference once where all pairs have it, else with the variant's name."""
    found = [
        (old.name, said) for old, new in pairs for said in differ(old.fingerprint, new.fingerprint)
    ]
    often = Counter(said for _, said in found)
    lines = (said if often[said] == len(pairs) else f"{name}: {said}" for name, said in found)
    return tuple(dict.fromkeys(lines))


def _rows(variant: str, first: dict[str, Figure], second: dict[str, Figure]) -> Iterator[Row]:
    for name in dict.fromkeys((*first, *second)):
        old, new = first.get(name), second.get(name)
        yield Row(
            variant=variant,
            name=name,
            first=old,
            second=new,
            ratio=new.value / old.value if old and new and old.value else None,
            verdict=_verdict(old, new) if old and new else None,
        )


def _verdict(old: Figure, new: Figure) -> Verdict:
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return "spread unknown"
    return "may be chance" if old.low <= new.high and new.low <= old.high else "differs"
