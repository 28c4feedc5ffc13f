"""Logs of servers that speak OpenAI's API, and of proxies before them: a time and token counts.

There is no common format. Counts are called `prompt_tokens` and `completion_tokens` (or
`input_tokens` and `output_tokens`) and are in the object itself, in its `usage`, or in that of a
`response` and its `body`; the time has one of several names beside or above them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.traffic import values
from headrace.traffic.rows import Row

_TIMES = (
    "timestamp", "@timestamp", "time", "ts", "arrival_time", "request_time", "start_time",
    "startTime", "created", "created_at",
)  # fmt: skip
_COUNTS = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
_INSIDE = ("usage", "response", "body")
_DEPTH = 4
"""The object, its response, that one's body, its usage."""


class AccessLog:
    """Lines that have a time and usage counts somewhere; others are left out."""

    name = "access log; its times are taken for those of arrival"
    block = 0

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Say whether there are a time and counts."""
        parts = list(_parts(line))
        return _time(parts) is not None and _counts(parts) is not None

    def row(self, line: Mapping[str, Any]) -> Row | str:
        """Return the request, if the line is about one that was answered."""
        parts = list(_parts(line))
        counts = _counts(parts)
        if counts is None:
            return "have no usage counts"
        time = _time(parts)
        if time is None:
            raise ValueError(f"none of {', '.join(_TIMES)} is there")
        usage, prompt, output = counts
        return Row(
            values.read(*time, values.moment),
            values.read(usage, prompt, values.tokens),
            values.read(usage, output, values.tokens),
        )


def _parts(line: Mapping[str, Any], depth: int = _DEPTH) -> Iterator[Mapping[str, Any]]:
    """Yield an object, and those inside it that may have what is looked for."""
    yield line
    for key in _INSIDE if depth > 1 else ():
        inside = line.get(key)
        if isinstance(inside, dict):
            yield from _parts(inside, depth - 1)


def _time(parts: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str] | None:
    """Return where the time is, and its key."""
    found = ((part, key) for part in parts for key in _TIMES if part.get(key) is not None)
    return next(found, None)


def _counts(parts: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str, str] | None:
    """Return where the counts are, and their keys; of prompt and answer, both."""
    found = (
        (part, prompt, output)
        for part in parts
        for prompt, output in _COUNTS
        if part.get(prompt) is not None and part.get(output) is not None
    )
    return next(found, None)
