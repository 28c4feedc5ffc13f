"""Typed access to a GGUF file's key-value metadata, with errors that name the file and the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gguf import ReaderField

from headrace.models.errors import FormatError


class Metadata:
    """The metadata of one file; a getter without default raises FormatError for an absent key."""

    def __init__(self, name: str, fields: Mapping[str, ReaderField]) -> None:
        self.name = name
        self._fields = fields

    def integer(self, key: str, default: int | None = None) -> int:
        """Get a whole number."""
        value = self._get(key, default)
        if type(value) is not int:
            raise FormatError(f"{self.name}: {key} must be one whole number, not {value!r:.60}")
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """Get a positive whole number."""
        value = self.integer(key, default)
        if value < 1:
            raise FormatError(f"{self.name}: {key} must be positive, not {value}")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """Get a number; float32 values come back as written, 1e-05 and not 9.99999974e-06."""
        value = self._get(key, default)
        if not isinstance(value, float):
            raise FormatError(f"{self.name}: {key} must be a number, not {value!r:.60}")
        return float(str(np.float32(value)))

    def boolean(self, key: str, *, default: bool) -> bool:
        """Get a truth value."""
        return bool(self._get(key, default))

    def text(self, key: str, default: str | None = None) -> str:
        """Get a string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise FormatError(f"{self.name}: {key} must be a text, not {value!r:.60}")
        return value

    def texts(self, key: str) -> list[str]:
        """Get a list of strings."""
        value = self._get(key, None)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise FormatError(f"{self.name}: {key} must be a list of texts")
        return value

    def integers(self, key: str) -> list[int]:
        """Get a list of whole numbers."""
        value = self._get(key, None)
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise FormatError(f"{self.name}: {key} must be a list of whole numbers")
        return value

    def token_id(self, name: str) -> int | None:
        """Get the id of a special token (`bos`, `eos`, `unknown`, `padding`), or None."""
        key = f"tokenizer.ggml.{name}_token_id"
        return self.integer(key) if key in self._fields else None

    def _get(self, key: str, default: Any) -> Any:
        field = self._fields.get(key)
        if field is None:
            if default is None:
                raise FormatError(f"{self.name} says nothing of {key}")
            return default
        try:
            return field.contents()
        except (ValueError, IndexError) as error:
            raise FormatError(f"{self.name}: {key} cannot be read: {error}") from error
