"""Traces that are tables (CSV): Azure's, BurstGPT's, and plain ones.

A format is known by its columns' names, in any order and case; other columns are ignored.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from headrace.traffic import values
from headrace.traffic.errors import TrafficError
from headrace.traffic.rows import Row, Rows
from headrace.traffic.traffic import Traffic


@dataclass(frozen=True)
class Table:
    """A format: its name for people, three columns in lower case, and how its times are read."""

    name: str
    arrival: str
    prompt: str
    output: str
    read_time: values.Reader[float]
    session: str = ""
    """A column that may be there, and says which conversation a request is of."""

    @property
    def columns(self) -> tuple[str, str, str]:
        """Those that it must have."""
        return self.arrival, self.prompt, self.output


FORMATS: Sequence[Table] = (
    Table("Azure LLM trace", "timestamp", "contexttokens", "generatedtokens", values.moment),
    Table(
        "BurstGPT trace", "timestamp", "request tokens", "response tokens", values.seconds,
        session="session id",
    ),
    Table("CSV with arrival, prompt, output", "arrival", "prompt", "output", values.moment),
)  # fmt: skip


def read_table(text: str, source: str) -> Traffic:
    """Return the traffic of a CSV file's text, which has at least one line with something in it."""
    lines = _lines(text, source)
    number, names = next(lines)
    header = [name.strip().casefold() for name in names]
    table = _recognise(header, f"{source}:{number}")
    rows = Rows(source)
    places = [header.index(one) for one in table.columns]
    session = header.index(table.session) if table.session in header else None
    rows.take(_rows(lines, table, places, session, source))
    return rows.traffic(table.name)


def _lines(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line that has some, with the line's number."""
    lines = csv.reader(StringIO(text, newline=""))
    try:
        for cells in lines:
            if cells:
                yield lines.line_num, cells
    except csv.Error as error:
        raise TrafficError(f"{source}:{lines.line_num}: this is no CSV: {error}") from error


def _recognise(header: Sequence[str], place: str) -> Table:
    for table in FORMATS:
        if set(table.columns) <= set(header):
            return table
    nearest = max(FORMATS, key=lambda table: len(set(table.columns) & set(header)))
    missing = [one for one in nearest.columns if one not in header]
    if len(missing) < len(nearest.columns):
        plural = "s" if len(missing) > 1 else ""
        raise TrafficError(
            f"{place}: column{plural} missing for {_a(nearest.name)}: {', '.join(missing)}"
        )
    raise TrafficError(f"{place}: no format has these columns; {_known()}")


def _known() -> str:
    return "known are " + "; ".join(f"{one.name} ({', '.join(one.columns)})" for one in FORMATS)


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _rows(
    lines: Iterable[tuple[int, list[str]]],
    table: Table,
    places: Sequence[int],
    session: int | None,
    source: str,
) -> Iterator[Row]:
    """Yield the requests; `places` are the columns of arrival, prompt and output."""
    arrival, prompt, output = places
    last = max(*places, session or 0)
    for number, cells in lines:
        if len(cells) <= last:
            raise TrafficError(
                f"{source}:{number}: only {len(cells)} columns; expected at least {last + 1}"
            )
        try:
            yield Row(
                table.read_time(cells[arrival]),
                values.tokens(cells[prompt]),
                values.tokens(cells[output]),
                session="" if session is None else cells[session].strip(),
            )
        except ValueError:
            raise TrafficError(f"{source}:{number}: {_wrong(table, cells, places)}") from None


def _wrong(table: Table, cells: Sequence[str], places: Sequence[int]) -> str:
    """Say which cell of a row cannot be read, and why."""
    readers: Sequence[Callable[[object], float]] = (table.read_time, values.tokens, values.tokens)
    for name, place, read in zip(table.columns, places, readers, strict=True):
        try:
            read(cells[place])
        except ValueError as error:
            return f"{name} {error}"
    raise AssertionError(cells)
