"""Deterministic text: each next token follows from all the text before it, and from nothing else.

So prompt plus partial answer, sent as text or as token ids to any twin, is continued exactly as the
first twin would have. Number sequences are counted on ("1, 2, 3," to " 4,"), which is the known
prompt; anything else gets words.
"""

from __future__ import annotations

import re
import zlib

_WORDS = (
    "the water a river flows to and from high cold mountains where old snow melts in early "
    "summer while turbines turn below with quiet power for every town along its banks until "
    "night falls again over fields of wheat that sleep under stars "
)
_PIECES = tuple(f" {word}" for word in _WORDS.split())
_FIRST = 0x110000
"""Token ids: a character's code point, or from here on a word with its leading space."""
_IDS = {piece: _FIRST + index for index, piece in enumerate(_PIECES)}
_TOKEN = re.compile(
    "|".join(rf"{piece}\b" for piece in sorted(_PIECES, key=len, reverse=True)) + "|.", re.DOTALL
)
_COUNT = re.compile(r"(\d+), (\d+),( \d*)?$")
_TAIL = 48
_STOP_ODDS = 4000
WRONG = "!"
"""What a broken model answers, token after token."""


def encode(text: str) -> list[int]:
    """Return token ids: known words are one token, any other character is one each."""
    return [_IDS.get(piece) or ord(piece) for piece in _TOKEN.findall(text)]


def decode(ids: list[int]) -> str:
    """Return the text of token ids; ValueError if one is no token of the twin."""
    return "".join(piece(token) for token in ids)


def piece(token: int) -> str:
    """Return the text of one token; ValueError if it is none."""
    if 0 <= token - _FIRST < len(_PIECES):
        return _PIECES[token - _FIRST]
    try:
        return chr(token)
    except (ValueError, OverflowError):
        raise ValueError(f"{token} is not a token of the twin") from None


class Writer:
    """Continues a text, token by token; an endless one never ends by itself."""

    def __init__(self, text: str, *, endless: bool = False) -> None:
        self._endless = endless
        self._hash = zlib.crc32(text.encode("utf-8", "replace"))
        self._tail = text[-_TAIL:]

    def next(self) -> int | None:
        """Return the next token and move on; None where the text ends."""
        if self._hash % _STOP_ODDS == 1 and not self._endless:
            return None
        following = self._counted() or self._word()
        self._hash = zlib.crc32(following.encode(), self._hash)
        self._tail = (self._tail + following)[-_TAIL:]
        return _IDS.get(following) or ord(following)

    def _counted(self) -> str | None:
        found = _COUNT.search(self._tail)
        if not found or int(found[2]) != int(found[1]) + 1:
            return None
        whole, begun = f" {int(found[2]) + 1},", found[3] or ""
        return whole[len(begun)] if whole.startswith(begun) else None

    def _word(self) -> str:
        if self._hash >> 8 & 15 == 0 and self._tail[-1:].isalpha():
            return "."
        return _PIECES[self._hash % len(_PIECES)]
