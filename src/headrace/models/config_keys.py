"""Keys of a config.json read within bounds: the file is anyone's, and its numbers become sizes.

`read_architecture.py` and its neighbours read through this, so a wrong value is always reported
with its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.models.errors import FormatError

MOST = 10**9
"""No size in a real configuration comes near it."""
MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Keys:
    """One object of a config.json, and what holds where it does not name a key."""

    values: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def get(self, key: str) -> Any:
        """Return the value as it is, or None; null counts as absent."""
        value = self.values.get(key)
        return self.defaults.get(key) if value is None else value

    def count(self, key: str, default: int | None = None, most: int = MOST) -> int:
        """Return a number from 1 to `most`."""
        value = self.get(key)
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= most:
            raise FormatError(
                f"config.json: {key} must be a number from 1 to {most:,}, not {_short(value)}"
            )
        return value

    def optional(self, key: str) -> int | None:
        """Return a number of at least 1, or None where the key is absent or null."""
        return None if self.get(key) is None else self.count(key)

    def size(self, key: str) -> int:
        """Return a number of at least 0, and 0 where the key is absent or null."""
        return 0 if self.get(key) in (None, 0) else self.count(key)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self.get(key)
        if value is not None and type(value) is not bool:
            raise FormatError(f"config.json: {key} must be true or false, not {_short(value)}")
        return default if value is None else value

    def words(self, key: str, length: int) -> list[str] | None:
        """Return a list of exactly `length` words, or None where the key is absent."""
        return self._list(key, str, length)

    def numbers(self, key: str, length: int | None = None) -> list[int] | None:
        """Return a list of numbers, or None where the key is absent."""
        return self._list(key, int, length)

    def object(self, key: str) -> Mapping[str, Any]:
        """Return an object, empty where the key is absent."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise FormatError(f"config.json: {key} must be an object, not {_short(value)}")
        return value or {}

    def _list(self, key: str, kind: type, length: int | None) -> list[Any] | None:
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(one) is kind for one in value):
            raise FormatError(
                f"config.json: {key} must be a list of {kind.__name__} values, not {_short(value)}"
            )
        if length is not None and len(value) != length:
            raise FormatError(
                f"config.json: {key} lists {len(value)} layers, num_hidden_layers says {length}"
            )
        return value


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."  # noqa: PLR2004 - for one line of terminal
