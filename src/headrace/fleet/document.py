"""Reads YAML into plain data and remembers where each value stood.

`load.py` turns the data into types and uses the positions to name lines. Input is bounded: a file
over 1 MiB or one that unfolds (through aliases) into more than 100,000 values is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from headrace.fleet.problems import FleetError, Problem

_MAX_BYTES = 1 << 20
_MAX_VALUES = 100_000

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """Plain data, and the line (from 1) of every key and list item by its path."""

    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)

    def line(self, path: Path_) -> int:
        """Return the line of the value at `path`, or of the nearest part above it that exists."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


def read_document(file: Path) -> Document:
    """Read a YAML file; FleetError names the line of a syntax error or a key written twice."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise FleetError([Problem(file, 0, "", f"cannot be read: {error.strerror}")]) from error
    if len(raw) > _MAX_BYTES:
        raise FleetError([Problem(file, 0, "", "is larger than 1 MiB, which no fleet file is")])
    node = _parse(file, raw)
    lines: dict[Path_, int] = {}
    budget = iter(range(_MAX_VALUES))
    try:
        return Document(_plain(node, (), lines, budget), lines)
    except (StopIteration, RecursionError):
        message = "unfolds into more than 100,000 values, or into itself; use fewer aliases"
        raise FleetError([Problem(file, 0, "", message)]) from None


def _parse(file: Path, raw: bytes) -> Any:
    try:
        return YAML(typ="rt").load(raw.decode())
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        message = (error.problem or "is not YAML").split("\n")[0]
        raise FleetError([Problem(file, line, "", f"not valid YAML: {message}")]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FleetError([Problem(file, 0, "", f"not valid YAML: {message}")]) from error


def _plain(node: Any, path: Path_, lines: dict[Path_, int], budget: Iterator[int]) -> Any:
    next(budget)
    if isinstance(node, CommentedMap):
        for key in node:
            lines.setdefault((*path, str(key)), _line_of(node, key))
        return {
            str(key): _plain(value, (*path, str(key)), lines, budget) for key, value in node.items()
        }
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            lines.setdefault((*path, index), _line_of(node, index))
        return [_plain(value, (*path, index), lines, budget) for index, value in enumerate(node)]
    return _plain_scalar(node)


def _line_of(node: CommentedMap | CommentedSeq, key: Any) -> int:
    position = node.lc.data.get(key) if node.lc.data else None
    return int(position[0]) + 1 if position else int(node.lc.line) + 1


def _plain_scalar(node: Any) -> Any:
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
