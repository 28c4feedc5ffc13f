"""What no diff shows: values of Secrets, and what looks like one where it should not be.

A hidden value becomes a number, the same one for the same value within one diff: so that a change
still shows, and nothing can be guessed from it.
"""

from __future__ import annotations

import re
from typing import Any

_SAYS = r"(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
_NAME = re.compile(rf"(?i)(?:.*[_.-])?{_SAYS}")
_FLAG = re.compile(rf"(?i)(--(?:[\w-]*-)?{_SAYS})(?:=(.*))?", re.DOTALL)
_LINE = re.compile(rf"(?im)^(\s*(?:- )?[\"']?(?:[\w.-]*[_.-])?{_SAYS}[\"']?\s*[:=]\s*)(\S.*)$")
_INLINE = re.compile(rf"(?i)([{{,]\s*[\"']?(?:[\w.-]*[_.-])?{_SAYS}[\"']?\s*:\s*)([^,}}\n]+)")


class Hiding:
    """Hides values of objects that are compared with each other."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def hide(self, one: Any) -> Any:
        """Return an object without what must not be shown."""
        if isinstance(one, dict) and one.get("kind") == "Secret":
            return {
                key: self._all(value) if key in ("data", "stringData") else self._below(value)
                for key, value in one.items()
            }
        return self._below(one)

    def _all(self, value: Any) -> Any:
        return {key: self._word(item) for key, item in (value or {}).items()}

    def _below(self, value: Any) -> Any:
        if isinstance(value, dict):
            if "value" in value and _NAME.fullmatch(str(value.get("name", ""))):
                return {**value, "value": self._word(value["value"])}
            return {key: self._below(item) for key, item in value.items()}
        if isinstance(value, list):
            return self._list(value)
        return self._text(value) if isinstance(value, str) else value

    def _list(self, items: list[Any]) -> list[Any]:
        """Return a list; in one of arguments, a secret is the rest of a flag or what follows it."""
        found: list[Any] = []
        follows = False
        for item in items:
            flag = _FLAG.fullmatch(item) if isinstance(item, str) else None
            if follows and isinstance(item, str):
                found.append(self._word(item))
            elif flag and flag[2]:
                found.append(f"{flag[1]}={self._word(flag[2])}")
            else:
                found.append(self._below(item))
            follows = bool(flag) and not (flag and flag[2])
        return found

    def _text(self, text: str) -> str:
        """Return a text; in a file of several lines, values of telling names are hidden."""
        if "\n" not in text:
            return text
        lined = _LINE.sub(lambda found: found[1] + self._word(found[2]), text)
        return _INLINE.sub(lambda found: found[1] + self._word(found[2]), lined)

    def _word(self, value: Any) -> str:
        number = self._numbers.setdefault(str(value), len(self._numbers) + 1)
        return f"<hidden {number}>"
