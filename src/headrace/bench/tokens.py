"""Token counts of prompts: by the model's own tokenizer, by its engine, or as an honest estimate.

A load is only comparable if its prompts have the lengths that were asked for, and only the engine's
own tokenizer knows. `engine_tokens.py` asks an engine; `discover` there chooses. A chat's template
is the engine's as well: what it adds is asked once for each sequence of roles, and texts between
its marks count as they do alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import tokenizers

from headrace.bench.asks import Message, Prompt

Counter = Callable[[Prompt], int]
"""Returns a prompt's tokens, special ones and template included; TokenizerError if it cannot."""
TURN = 5
"""Tokens that a message has in most templates beside its text: its role, and marks around it."""
PROBE = "the"
"""What stands in a message while a template is measured: what texts of `lexicon.py` begin with,
because some tokenizers write a word behind a line's end otherwise than behind a space."""
MOST_BYTES = 64 << 20
"""Of a tokenizer.json; the largest known have some 20 MB."""


class TokenizerError(Exception):
    """Tokens cannot be counted; the message says why."""


class Tokenizer(Protocol):
    """Counts tokens."""

    @property
    def label(self) -> str:
        """Whose counts these are, for people and for run.json."""

    @property
    def exact(self) -> bool:
        """Whether the engine counts the same."""

    def count(self, prompt: Prompt) -> int:
        """Return a prompt's tokens as the engine counts them: special ones and template included.

        TokenizerError if nobody answers.
        """

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text alone, without special tokens."""


class Template:
    """How many tokens a chat template adds, by the roles of its messages; asked once for each.

    Where there is nobody to `ask`, it is taken for `TURN` tokens a message.
    """

    def __init__(self, ask: Counter | None, length: Callable[[str], int]) -> None:
        self._ask, self._length = ask, length
        self._known: dict[tuple[str, ...], int] = {}

    def count(self, messages: tuple[Message, ...]) -> int:
        """Return the tokens of a chat."""
        return self._adds(messages) + sum(self._length(one.content) for one in messages)

    def _adds(self, messages: tuple[Message, ...]) -> int:
        if self._ask is None:
            return TURN * len(messages)
        roles = tuple(one.role for one in messages)
        if roles not in self._known:
            probe = tuple(Message(role, PROBE) for role in roles)
            self._known[roles] = self._ask(probe) - len(roles) * self._length(PROBE)
        return self._known[roles]


class FolderTokenizer:
    """The tokenizer.json in a model's folder, and what `ask` knows of the engine's chat template.

    Without `ask` a template is taken for `TURN` tokens a message. TokenizerError if there is no
    tokenizer.json, or if it cannot be read.
    """

    def __init__(self, folder: Path, ask: Counter | None = None) -> None:
        self.label = f"the model's own tokenizer ({folder.name})"
        if ask is None:
            self.label += "; what a chat's template adds is an estimate"
        self.exact = ask is not None
        self._inner = _load(folder / "tokenizer.json")
        self._template = Template(ask, self._length)

    def count(self, prompt: Prompt) -> int:
        """Return a prompt's tokens."""
        if isinstance(prompt, str):
            return len(self._inner.encode(prompt))
        return self._template.count(prompt)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text alone."""
        return list(self._inner.encode(text, add_special_tokens=False).ids)

    def _length(self, text: str) -> int:
        return len(self._inner.encode(text, add_special_tokens=False))


class Estimate:
    """Nobody to ask: a word is a token for every eight letters begun, a sign is one.

    Nearly all vocabularies have common English words whole, so this is close for the words of
    `lexicon.py`, and less so for other texts. What a template adds is asked where anybody answers,
    else taken for `TURN` tokens a message.
    """

    exact = False
    _PARTS = re.compile(r"\w+|[^\w\s]")
    _LETTERS = 8

    def __init__(self, why: str, ask: Counter | None = None) -> None:
        self.label = f"an estimate, because {why}"
        self._template = Template(ask, self._length)

    def count(self, prompt: Prompt) -> int:
        """Return about how many tokens a prompt has."""
        if isinstance(prompt, str):
            return self._length(prompt)
        return self._template.count(prompt)

    def encode(self, text: str) -> list[int]:
        """Return as many zeros as there may be tokens: nobody knows their ids."""
        return [0] * self._length(text)

    def _length(self, text: str) -> int:
        return sum(-(-len(part) // self._LETTERS) for part in self._PARTS.findall(text))


def _load(file: Path) -> tokenizers.Tokenizer:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise TokenizerError(f"{file}: {error.strerror or error}") from error
    if size > MOST_BYTES:
        raise TokenizerError(f"{file}: larger than {MOST_BYTES >> 20} MiB; this is no tokenizer")
    try:
        return tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exception for whatever is wrong
        raise TokenizerError(f"{file}: no tokenizer: {error}") from error
