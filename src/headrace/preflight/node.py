"""A value of somebody's YAML together with the line it stands on.

`reading.py` makes these from text; everything after it asks them questions. What is missing is a
Node too, empty and on the line of the nearest part that exists, so that a rule can point there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ABSURD = 1e15
Scalar = str | int | float | bool | None


def finite(text: str) -> float | None:
    """Return a number that anybody could mean; None for words, infinity and the like."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < _ABSURD else None


@dataclass(frozen=True, eq=False)
class Node:
    """A mapping, a sequence or a scalar; `line` counts from 1 and is the key's, if it has one."""

    value: Mapping[str, Node] | Sequence[Node] | Scalar
    line: int
    missing: bool = False

    def __bool__(self) -> bool:
        """Whether the field is there and not null."""
        return not self.missing and self.value is not None

    def __getitem__(self, step: str | int) -> Node:
        """Return a part; an empty Node on this line where there is none."""
        value = self.value
        if isinstance(value, Mapping):
            found = value.get(str(step))
        elif isinstance(value, Sequence) and not isinstance(value, str) and isinstance(step, int):
            found = value[step] if -len(value) <= step < len(value) else None
        else:
            found = None
        return found if found is not None else Node(None, self.line, missing=True)

    def at(self, *steps: str | int) -> Node:
        """Return the part at a path."""
        node = self
        for step in steps:
            node = node[step]
        return node

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield keys and values of a mapping; nothing of anything else."""
        if isinstance(self.value, Mapping):
            yield from self.value.items()

    def each(self) -> Iterator[Node]:
        """Yield the items of a sequence; nothing of anything else."""
        if isinstance(self.value, Sequence) and not isinstance(self.value, str):
            yield from self.value

    @property
    def text(self) -> str:
        """A scalar as people wrote it; empty for what is missing or no scalar."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return str(self.value) if isinstance(self.value, (str, int, float)) else ""

    @property
    def number(self) -> float | None:
        """A number, also where it is quoted; None if it is none."""
        return None if isinstance(self.value, bool) else finite(self.text)

    def whole(self, default: int) -> int:
        """Return a whole number, or what applies where none is written."""
        return default if self.number is None else int(self.number)

    @property
    def true(self) -> bool:
        """Whether it says true, also where that is quoted."""
        return self.text.lower() == "true"

    def plain(self) -> Any:
        """Return the value without lines, as `json.loads` would."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, Sequence) and not isinstance(self.value, str):
            return [node.plain() for node in self.value]
        return self.value

    def labels(self) -> dict[str, str]:
        """Return a mapping of scalars as text."""
        return {key: node.text for key, node in self.items()}
