"""Writes objects as YAML that people review and every parser reads alike.

Keys stay in the order in which they were made, comments stand above what they explain, and what
YAML 1.1 (which Kubernetes' own tools read) would take for another type is quoted.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from headrace.kubernetes.notes import Listed, Noted

_WIDTH = 100
_NEVER = 10**9
"""No scalar is folded: a query or an argument stays on its line."""
_OTHER_TYPE = re.compile(
    r"(?i)(y|n|yes|no|on|off|true|false|null|~)"  # YAML 1.1 reads a bool or null,
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # minutes and seconds,
    r"|[-+]?[0-9._][0-9._,]*(e[-+]?[0-9]*)?|0[xob][0-9a-f_]+"  # a number,
    r"|[-+]?\.(inf|nan)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|=|<<"  # a time, or something special
)


def write(objects: Sequence[Mapping[str, Any]], title: str = "") -> str:
    """Return the objects as one file, a document each; `title` is the file's first comment."""
    parts = [_comment(title)] if title else []
    for index, one in enumerate(objects):
        parts.append("---\n" if index or title else "")
        parts.append(_comment(one.head) if isinstance(one, Noted) and one.head else "")
        parts.append(_document(one))
    return "".join(parts)


def _document(one: Mapping[str, Any]) -> str:
    yaml = YAML()
    yaml.width = _NEVER
    yaml.indent(mapping=2, sequence=2, offset=0)
    stream = io.StringIO()
    yaml.dump(_prepared(one, 0), stream)
    return stream.getvalue()


def _prepared(value: Any, column: int) -> Any:
    """Return the value as ruamel.yaml's own types; `column` is where its keys or dashes stand."""
    if isinstance(value, Mapping):
        return _mapping(value, column)
    if isinstance(value, list | tuple):
        return _sequence(value, column)
    return _scalar(value)


def _mapping(value: Mapping[str, Any], column: int) -> CommentedMap:
    made = CommentedMap()
    for key, item in value.items():
        below = column if isinstance(item, list | tuple) else column + 2
        made[_scalar(key)] = _prepared(item, below)
    for key, note in value.notes.items() if isinstance(value, Noted) else ():
        made.yaml_set_comment_before_after_key(key, before=_lines(note, column), indent=column)
    return made


def _sequence(value: Iterable[Any], column: int) -> CommentedSeq:
    made = CommentedSeq([_prepared(item, column + 2) for item in value])
    for index, note in value.notes.items() if isinstance(value, Listed) else ():
        made.yaml_set_comment_before_after_key(index, before=_lines(note, column), indent=column)
    return made


def _scalar(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if "\n" in value:
        return LiteralScalarString(value)
    return DoubleQuotedScalarString(value) if _OTHER_TYPE.fullmatch(value) else value


def _lines(text: str, column: int) -> str:
    width = max(40, _WIDTH - column - 2)
    return "\n".join(line for part in text.splitlines() for line in _wrapped(part, width))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _comment(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in _lines(text, 0).splitlines())
