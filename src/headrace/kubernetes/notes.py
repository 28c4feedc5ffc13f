"""Plain data that remembers why: mappings and lists whose entries carry comments.

They are dicts and lists to everybody (`apply` sends them as they are); only `yaml.py` looks at the
notes and writes them above the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class Noted(dict[str, Any]):
    """A mapping; `notes` are comments by key, `head` stands above an object's first line."""

    def __init__(
        self,
        data: Mapping[str, Any],
        notes: Mapping[str, str | None] | None = None,
        head: str = "",
    ) -> None:
        super().__init__(data)
        self.notes = {key: note for key, note in (notes or {}).items() if note and key in data}
        self.head = head


class Listed(list[Any]):
    """A list; `notes` are comments by position."""

    def __init__(self, items: Iterable[Any], notes: Mapping[int, str | None] | None = None) -> None:
        super().__init__(items)
        self.notes = {index: note for index, note in (notes or {}).items() if note}


def annotated(items: Iterable[tuple[Any, str | None]]) -> Listed:
    """Return a list from (item, comment) pairs."""
    pairs = list(items)
    return Listed((item for item, _ in pairs), {i: note for i, (_, note) in enumerate(pairs)})
