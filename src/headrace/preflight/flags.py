"""Arguments of a container as flags with their lines, however they are written.

`--a=b`, `--a b`, lists, one long shell line, line continuations, `$(VAR)` of the container's own
environment. What only a script inside the image knows stays unknown (`opaque`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headrace.preflight.node import Node, finite

_REFERENCE = re.compile(r"\$[({]([A-Za-z_][A-Za-z0-9_]*)[)}]")
_SHELLS = {"sh", "bash", "ash", "zsh", "dash"}
_SHORT = {
    "-tp": "tensor-parallel-size",
    "-pp": "pipeline-parallel-size",
    "-dp": "data-parallel-size",
    "-q": "quantization",
}


@dataclass(frozen=True)
class Word:
    """One argument and where it stands."""

    text: str
    node: Node


@dataclass(frozen=True)
class Flag:
    """A flag: `value` is None where none is given, `joined` where it is given by `=`."""

    name: str
    value: str | None
    node: Node
    joined: bool = False


@dataclass(frozen=True)
class Arguments:
    """All words of command and args, and the flags among them by name with dashes."""

    words: tuple[Word, ...]
    flags: Mapping[str, Flag] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Whether one of the flags is given."""
        return any(name in self.flags for name in names)

    def value(self, *names: str) -> str | None:
        """Return the value of the first of these flags that has one."""
        given = (self.flags[name].value for name in names if name in self.flags)
        return next((value for value in given if value is not None), None)

    def number(self, *names: str) -> float | None:
        """Return it as a number, None if it is none (`auto`, `$(VAR)`)."""
        return finite(self.value(*names) or "")

    def node(self, *names: str) -> Node | None:
        """Return where the first of these flags that is given stands."""
        return next((self.flags[name].node for name in names if name in self.flags), None)


def words_of(container: Node, env: Mapping[str, str]) -> tuple[Word, ...]:
    """Return the words of command and args; a shell's script is taken apart."""
    given = [
        Word(_filled(node.text, env), node)
        for key in ("command", "args")
        for node in container[key].each()
    ]
    shell = given and given[0].text.rpartition("/")[2] in _SHELLS
    if not shell:
        return tuple(given)
    return tuple(word for one in given for word in _script(one, env))


def arguments(words: tuple[Word, ...]) -> Arguments:
    """Find the flags among words."""
    flags = {flag.name: flag for flag in _flags(words)}
    return Arguments(words, flags)


def _flags(words: tuple[Word, ...]) -> Iterator[Flag]:
    for index, word in enumerate(words):
        name, equals, value = word.text.partition("=")
        if name in _SHORT:
            name = f"--{_SHORT[name]}"
        if not name.startswith("--") or len(name) <= len("--"):
            continue
        following = words[index + 1].text if index + 1 < len(words) else "--"
        separate = None if following.startswith("-") and not _negative(following) else following
        spelt = name[2:].replace("_", "-")
        yield Flag(spelt, value if equals else separate, word.node, joined=bool(equals))


def _negative(text: str) -> bool:
    return text[1:].replace(".", "", 1).isdecimal()


def _filled(text: str, env: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: env.get(found[1], found[0]), text)


def _script(word: Word, env: Mapping[str, str]) -> Iterator[Word]:
    """Yield the words of a shell script with the lines they stand on, comments left out."""
    multiline = "\n" in word.text.strip("\n")
    for offset, line in enumerate(word.text.split("\n")):
        node = Node(line, word.node.line + offset + 1) if multiline else word.node
        for part in _split(line.removesuffix("\\")):
            yield Word(_filled(part, env), node)


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()
