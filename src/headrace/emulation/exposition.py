"""Prometheus text from a twin's books: rows say which count has which name in which engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from headrace.emulation.books import Books, Histogram

Kind = Literal["gauge", "counter", "histogram", "summary"]


class Row(NamedTuple):
    """One series: its type, wire name, the name in `Books`, labels of its own, and a factor.

    Where the books hold counts by reason, `by` names the label that tells them apart.
    """

    kind: Kind
    name: str
    source: str
    labels: Mapping[str, str] = {}
    factor: float = 1.0
    by: str = ""


def exposition(rows: Iterable[Row], books: Books, labels: Mapping[str, str]) -> bytes:
    """Return the page; each series has `labels` and its own, in the order of their names."""
    lines: list[str] = []
    seen: set[str] = set()
    for row in rows:
        if row.name not in seen:
            seen.add(row.name)
            lines.append(f"# TYPE {row.name} {row.kind}")
        lines += _samples(row, getattr(books, row.source), dict(labels) | dict(row.labels))
    return ("\n".join(lines) + "\n").encode()


def _samples(row: Row, value: object, labels: dict[str, str]) -> Iterable[str]:
    if isinstance(value, Histogram):
        yield from _histogram(row, value, labels)
    elif isinstance(value, dict):
        for reason, count in value.items():
            yield f"{row.name}{_labels(labels | {row.by: reason})} {float(count)}"
    elif isinstance(value, int | float):
        yield f"{row.name}{_labels(labels)} {value * row.factor}"


def _histogram(row: Row, value: Histogram, labels: dict[str, str]) -> Iterable[str]:
    if row.kind == "histogram":
        total = 0
        for bound, count in zip((*value.bounds, float("inf")), value.counts, strict=True):
            total += count
            edge = "+Inf" if bound == float("inf") else str(bound * row.factor)
            yield f"{row.name}_bucket{_labels(labels | {'le': edge})} {float(total)}"
    if row.kind == "counter":
        yield f"{row.name}{_labels(labels)} {value.sum * row.factor}"
        return
    yield f"{row.name}_sum{_labels(labels)} {value.sum * row.factor}"
    yield f"{row.name}_count{_labels(labels)} {float(value.count)}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(labels[name])}"' for name in sorted(labels)) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
