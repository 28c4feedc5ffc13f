"""Deterministic text: each next token follows from all the text before it, and from nothing else.

So prompt plus partial answer, sent as text or as token ids to any twin, is continued exactly as the
first twin would have. Number sequences are counted on ("1, 2, 3," to " 4,"), which is the known
prompt; anything else gets words. A word with its leading space is one token; everything else is a
token for each UTF-8 byte (the first two bytes of an emoji are one), so a character can take three
tokens and a stream can break inside it.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence

_WORDS = (
    "the water a river flows to and from high cold mountains where old snow melts in early "
    "summer while turbines turn below with quiet power for every town along its banks until "
    "night falls again over fields of wheat that sleep under stars "
)
_PIECES = tuple(f" {word}" for word in _WORDS.split())
_CHARACTERS = ("水", "💧", "é", "河")
"""Written without a space before them; two to three tokens each."""
_EMOJI = 256
_FIRST = 257
"""Token ids: a byte, the first half of most emoji, and from here on a word with its space."""
_VOCABULARY = (*(bytes([byte]) for byte in range(256)), b"\xf0\x9f", *map(str.encode, _PIECES))
_IDS = {piece: _FIRST + index for index, piece in enumerate(_PIECES)}
_WHOLE = {i: p.decode() for i, p in enumerate(_VOCABULARY) if p.isascii()}
"""Text of the tokens that are whole characters."""
_RUN = re.compile("( [a-z]+)")
"""What a word with its space must be as a whole; nothing shorter of it is a token."""
_UNITS = {piece: chr(token) for piece, token in _IDS.items()}
_UTF_16 = f"utf-16-{sys.byteorder[0]}e"
_COUNT = re.compile(r"(\d+), (\d+),( \d*)?$", re.ASCII)
_COUNTING = frozenset("0123456789, ")
_TAIL = 48
_STOP_ODDS = 4000
WRONG = "!"
"""What a broken model answers, token after token."""


def encode(text: str) -> list[int]:
    """Return token ids: known words are one token, any other character is one for each byte."""
    # Every token becomes one 16-bit character, so that prompts of 100 000 tokens take milliseconds.
    units = text.encode("utf-8", "replace").decode("latin-1").replace("\xf0\x9f", chr(_EMOJI))
    parts = _RUN.split(units)
    return list(array("H", "".join(map(_UNITS.get, parts, parts)).encode(_UTF_16)))


def _byte_tokens(data: bytes) -> Iterable[int]:
    return (_EMOJI, *data[2:]) if data.startswith(b"\xf0\x9f") else data


def decode(ids: Sequence[int]) -> str:
    """Return the text of token ids without the begun character at its end, as a stream shows it.

    ValueError if one is no token of the twin.
    """
    return _decoder().decode(joined(ids))


def joined(ids: Sequence[int]) -> bytes:
    """Return the bytes of token ids; ValueError or TypeError if one is no token of the twin."""
    with contextlib.suppress(IndexError, TypeError):
        if min(ids, default=0) >= 0:
            return b"".join(map(_VOCABULARY.__getitem__, ids))
    return b"".join(map(piece, ids))  # slower, and says which one is wrong


def piece(token: int) -> bytes:
    """Return the bytes of one token; ValueError if it is none."""
    if isinstance(token, int) and 0 <= token < len(_VOCABULARY):
        return _VOCABULARY[token]
    raise ValueError(f"{token} is not a token of the twin")


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


class Detokenizer:
    """Turns tokens into text one by one; a begun character is held back until it is whole."""

    def __init__(self, prompt: bytes = b"") -> None:
        begun = prompt[_whole_length(prompt) :]
        self._decoder = _decoder()
        self._decoder.decode(begun)
        self._plain = not begun

    def push(self, token: int) -> str:
        """Return the text that this token makes certain; it may be empty."""
        text = _WHOLE.get(token) if self._plain else None
        if text is not None:
            return text
        text = self._decoder.decode(_VOCABULARY[token])
        self._plain = not self._decoder.getstate()[0]
        return text


def _whole_length(data: bytes) -> int:
    """Return the bytes up to the character that is begun at the end, if one is."""
    decoder = _decoder()
    decoder.decode(data[-8:])
    return len(data) - len(decoder.getstate()[0])


class Writer:
    """Continues a text (bytes where it may end inside a character), token by token.

    While it is `endless` it never ends by itself. Another `accent` (a LoRA adapter's name) goes on
    with other words.
    """

    def __init__(self, text: str | bytes, *, endless: bool = False, accent: str = "") -> None:
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        whole = _whole_length(data)
        self.endless = endless
        self._hash = zlib.crc32(data[:whole], zlib.crc32(accent.encode()))
        self._tail = data[max(0, whole - 4 * _TAIL) : whole].decode("utf-8", "replace")[-_TAIL:]
        self._rest: Sequence[int] = ()
        if whole < len(data):
            self._finish(data[whole:])

    def _finish(self, begun: bytes) -> None:
        """Go on inside the character that the text ends with, if it is the one that is due."""
        unit = self._unit() or ""
        encoded = unit.encode()
        if encoded.startswith(begun):
            self._commit(unit)
            self._rest = tuple(encoded[len(begun) :])
        else:
            self._hash = zlib.crc32(begun, self._hash)

    def next(self) -> int | None:
        """Return the next token and move on; None where the text ends."""
        if self._rest:
            token, *self._rest = self._rest
            return token
        unit = self._unit()
        if unit is None:
            return None
        self._commit(unit)
        known = _IDS.get(unit)
        if known is not None:
            return known
        token, *self._rest = _byte_tokens(unit.encode())
        return token

    def _unit(self) -> str | None:
        """Return what follows: a word, or one character."""
        if self._hash % _STOP_ODDS == 1 and not self.endless:
            return None
        if self._tail[-1:] in _COUNTING:
            return self._counted() or self._word()
        return self._word()

    def _commit(self, unit: str) -> None:
        self._hash = zlib.crc32(unit.encode(), self._hash)
        self._tail = (self._tail + unit)[-_TAIL:]

    def _counted(self) -> str | None:
        found = _COUNT.search(self._tail)
        if not found or int(found[2]) != int(found[1]) + 1:
            return None
        whole, begun = f" {int(found[2]) + 1},", found[3] or ""
        return whole[len(begun)] if whole.startswith(begun) else None

    def _word(self) -> str:
        seed = self._hash
        if seed >> 8 & 15 == 0 and self._tail[-1:].isalpha():
            return "."
        if seed >> 12 & 15 == 0:
            return _CHARACTERS[seed >> 16 & 3]
        return _PIECES[seed % len(_PIECES)]
