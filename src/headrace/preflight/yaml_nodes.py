"""From the text of one YAML document to a Node: lines kept, size bounded, nothing constructed.

Only ruamel's parser and composer run, so no tag of a stranger's file can do anything. Aliases are
counted as often as they are used: a document that unfolds into too much is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as Composed

from headrace.preflight.node import Node, Scalar

MAX_VALUES = 200_000
MAX_DEPTH = 200
_TAG = "tag:yaml.org,2002:"


class UnreadableError(Exception):
    """A document that cannot be read; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str, first_line: int = 1) -> Node | None:
    """Return the document's root, None if it is empty; UnreadableError says where it is broken."""
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        raise UnreadableError(line, (error.problem or "is not YAML").split("\n")[0]) from error
    except RecursionError as error:
        raise UnreadableError(first_line, "is nested too deeply") from error
    except (YAMLError, ValueError) as error:
        words = str(error).splitlines()
        raise UnreadableError(first_line, words[0] if words else "is not YAML") from error
    if root is None:
        return None
    return _Builder(first_line).node(root, root.start_mark.line, 0)


class _Builder:
    """Turns composed nodes into ours while counting them."""

    def __init__(self, first_line: int) -> None:
        self._first = first_line
        self._left = MAX_VALUES

    def node(self, composed: Composed, line: int, depth: int) -> Node:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise UnreadableError(
                self._first + line,
                f"unfolds into more than {MAX_VALUES:,} values or {MAX_DEPTH} levels, or into"
                " itself; no manifest needs that, write it without aliases",
            )
        if isinstance(composed, MappingNode):
            return Node(self._mapping(composed, depth), self._first + line)
        if isinstance(composed, SequenceNode):
            items = [self.node(item, item.start_mark.line, depth + 1) for item in composed.value]
            return Node(items, self._first + line)
        scalar = _scalar(composed) if isinstance(composed, ScalarNode) else None
        return Node(scalar, self._first + line)

    def _mapping(self, composed: MappingNode, depth: int) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        own: dict[str, Node] = {}
        for key, value in composed.value:
            line = key.start_mark.line
            if key.tag == f"{_TAG}merge":
                for part in self._merged(value, line, depth):
                    merged = dict(part.items()) | merged
                continue
            if not isinstance(key, ScalarNode):
                raise UnreadableError(self._first + line, "a key that is no plain word")
            name = str(key.value)
            if name in own:
                raise UnreadableError(self._first + line, f"the key '{name[:80]}' is written twice")
            own[name] = self.node(value, line, depth + 1)
        return merged | own

    def _merged(self, value: Composed, line: int, depth: int) -> Iterator[Node]:
        sources = value.value if isinstance(value, SequenceNode) else [value]
        for source in sources:
            yield self.node(source, line, depth + 1)


def _scalar(node: ScalarNode) -> Scalar:
    kind = str(node.tag).removeprefix(_TAG)
    text = str(node.value)
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text.replace("_", ""), 0 if text[:2].lower() in ("0x", "0o") else 10)
            case "float":
                return float(text.replace("_", ""))
    except ValueError:
        pass
    return text
