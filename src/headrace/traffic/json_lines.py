"""Traces that are JSON lines: Mooncake's, Qwen-Bailian's, records of a fleet, logs of servers.

A format is known by the keys of an object. `access_log.py` has those that are not flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Protocol

import msgspec

from headrace.traffic import values
from headrace.traffic.access_log import AccessLog
from headrace.traffic.errors import TrafficError
from headrace.traffic.rows import Row, Rows
from headrace.traffic.traffic import Traffic

_TRIED = 100
"""Objects among which one must be of a known format: logs may begin with other lines."""
_SHOWN = 12
_HASHES = "hash_ids"
"""Where a prompt's blocks are."""


class Format(Protocol):
    """One kind of line."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def block(self) -> int:
        """Tokens that one hash of a prompt stands for; 0 if there are none."""

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Say whether a file with this line is of this format."""

    def row(self, line: Mapping[str, Any]) -> Row | str:
        """Return the request, or why it is left out; ValueError if the line is damaged."""


@dataclass(frozen=True)
class Flat:
    """All in one object: three keys, and others by which the format is told from its like."""

    name: str
    arrival: str
    prompt: str
    output: str
    read_time: values.Reader[float]
    marks: frozenset[str] = frozenset()
    block: int = 0

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Say whether all keys are there."""
        return {self.arrival, self.prompt, self.output} | self.marks <= line.keys()

    def row(self, line: Mapping[str, Any]) -> Row | str:
        """Return the request; nothing but hashes may be missing."""
        hashed = self.block and _HASHES in line
        return Row(
            values.read(line, self.arrival, self.read_time),
            values.read(line, self.prompt, values.tokens),
            values.read(line, self.output, values.tokens),
            values.read(line, _HASHES, values.hashes) if hashed else (),
        )


class Records(Flat):
    """What `headrace requests --json` prints: its times are those of arrival."""

    def row(self, line: Mapping[str, Any]) -> Row | str:
        """Return the request, unless nobody knows its tokens or it was only a copy."""
        if line.get("shadow_of"):
            return "were copies for a shadow deployment"
        if line.get(self.prompt) is None or line.get(self.output) is None:
            return "have no token counts: refused, failed, or the engine did not say"
        return super().row(line)


FORMATS: Sequence[Format] = (
    Flat(
        "Qwen-Bailian trace", "timestamp", "input_length", "output_length", values.seconds,
        frozenset({"chat_id"}), block=16,
    ),
    Flat(
        "Mooncake trace", "timestamp", "input_length", "output_length", values.milliseconds,
        block=512,
    ),
    Flat("vLLM run", "arrival_time", "input_toks", "output_toks", values.seconds),
    Flat("JSON lines with arrival, prompt, output", "arrival", "prompt", "output", values.moment),
    Records(
        "Headrace records", "time", "prompt_tokens", "completion_tokens", values.moment,
        frozenset({"outcome", "tokens_from"}),
    ),
    AccessLog(),
)  # fmt: skip


def read_json_lines(text: str, source: str) -> Traffic:
    """Return the traffic of a file of JSON objects, one a line."""
    lines = _lines(text, source)
    first = list(islice(lines, _TRIED))
    known = _recognise([line for _, line in first], source)
    rows = Rows(source, known.block)
    rows.take(_rows(chain(first, lines), known, source))
    return rows.traffic(known.name)


def _lines(text: str, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                raise TrafficError(f"{source}:{number}: no JSON object: {error}") from error


def _recognise(lines: Sequence[Mapping[str, Any]], source: str) -> Format:
    for line in lines:
        for known in FORMATS:
            if known.fits(line):
                return known
    found = ", ".join(ascii(key)[1:-1] for key in islice(lines[0], _SHOWN)) or "none"
    raise TrafficError(
        f"{source}: no format has these keys: {found}; needed are `timestamp`, `input_length` and"
        " `output_length`, or `arrival`, `prompt` and `output`, or a time and `usage`"
    )


def _rows(
    lines: Iterable[tuple[int, Mapping[str, Any]]], known: Format, source: str
) -> Iterator[Row | str]:
    for number, line in lines:
        try:
            yield known.row(line)
        except ValueError as error:
            raise TrafficError(f"{source}:{number}: {error}") from None
