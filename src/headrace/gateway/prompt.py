"""How much work a request's prompt is, and which prompts begin alike, from the bytes of its body.

Nothing is tokenized: tokens are bytes by a ratio that each deployment learns from the counts that
its engine reports. A prefix is known by marks, hashes of the bytes so far: at offsets that grow
geometrically and at the ends of messages, so that two prompts that begin alike share their first
marks wherever they part. Digests are computed only when they are asked for. `routing/prefix.py`
keeps the marks, `request.py` finds the parts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import xxhash

from headrace.routing.prefix import Mark, Prefix
from headrace.routing.work import Work

if TYPE_CHECKING:
    from headrace.gateway.request import Peek

Json: TypeAlias = bytes | memoryview | msgspec.Raw
"""A JSON value as it stands in the body."""

FIRST_MARK = 512
"""Bytes before the first mark: less is not worth a detour."""
GRID = 1.2
"""Each offset of a mark within a message is so many times the one before."""
LEAST_STEP = 1.12
"""No mark is nearer to the one before: 60 marks at most for 400 KB."""
MEDIA_BYTES = 4096
"""What an image, a sound or a film counts as, in bytes of text: about 1000 tokens, whatever the
size of its file."""
MOST_ITEMS = 200_000
"""A list with more commas is taken as a whole: each item that is told apart costs memory."""
IDENTITY_BYTES = 1024
"""So much of a completion's prompt identifies its conversation."""
_HEAD = 256
"""Bytes of a message within which its role and the kind of its content are usually seen."""

NULL = b"null"
_SHORT = len(NULL)
_GRID = tuple(int(FIRST_MARK * GRID**power) for power in range(100))
_TEXT = re.compile(rb'"content"\s*:\s*"')
_ROLE = re.compile(rb'"role"\s*:\s*"([a-z]+)"')
_IDS = re.compile(rb"\s*\[[\s\[\]]*(?:\d|$)")
_TYPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-z_]+)"')
_DIGIT = re.compile(rb"[0-9]")
_TEXT_PARTS = frozenset((b"text", b"input_text", b"output_text", b"refusal", b"thinking"))


class TokenRatio:
    """Bytes of JSON for a token of prompt, over the last prompts; long ones count for more.

    Begins at 4, as English text has it.
    """

    __slots__ = ("_bytes", "_tokens")
    _KEPT = 0.98

    def __init__(self) -> None:
        self._bytes, self._tokens = 4096.0, 1024.0

    @property
    def value(self) -> float:
        """Bytes a token, at least 0.5 and at most 32: engines may count oddly."""
        return min(32.0, max(0.5, self._bytes / self._tokens))

    def learn(self, size: int, tokens: int) -> None:
        """Take note that an engine counted `tokens` in a prompt of `size` bytes (`Prompt.size`)."""
        if size > 0 and tokens > 0:
            self._bytes = self._bytes * self._KEPT + size
            self._tokens = self._tokens * self._KEPT + tokens


class TypicalAnswer:
    """Tokens of an answer, averaged over about the last 50 of them."""

    __slots__ = ("_mean",)
    _WEIGHT = 0.02

    def __init__(self, tokens: float = 256.0) -> None:
        self._mean = tokens

    def learn(self, tokens: int) -> None:
        """Take note of an answer that ended."""
        self._mean += self._WEIGHT * (tokens - self._mean)

    def expected(self, max_tokens: int | None) -> int:
        """Return how many tokens an answer probably gets that may have `max_tokens`."""
        mean = max(1, round(self._mean))
        return mean if max_tokens is None else max(0, min(mean, max_tokens))


class Prompt:
    """One request's prompt: raw JSON, `null` where absent; `adapter` is its LoRA adapter's alias.

    `size` are its bytes that count as text, tools and media included; `exact` are the tokens of one
    that is given in token ids, else None. It refers to the body's bytes: let go of it with the
    body.
    """

    __slots__ = (
        "_before", "_segments", "adapter", "exact", "max_tokens", "messages", "size", "text",
        "tools",
    )  # fmt: skip

    def __init__(
        self, messages: Json = NULL, text: Json = NULL, tools: Json = NULL,
        max_tokens: int | None = None, adapter: str | None = None,
    ) -> None:  # fmt: skip
        self.messages = messages
        self.text = text
        self.tools = tools
        self.max_tokens = max_tokens
        self.adapter = adapter
        self.exact: int | None = None
        self._before = 0 if _absent(tools) else len(tools)
        self._segments: Sequence[tuple[Json, int]]
        """The parts of the prompt in order, and the bytes that they count as."""
        if not _absent(messages):
            self._segments = [(message, _counted(message)) for message in _split(messages)]
        else:
            self._segments = () if _absent(text) else ((text, len(text)),)
            self.exact = _count_ids(text)
        self.size = self._before + sum([size for _, size in self._segments])

    @classmethod
    def of(cls, peek: Peek, adapter: str | None = None) -> Prompt:
        """Return the prompt of a body that was looked at."""
        text = peek.input if _absent(peek.prompt) else peek.prompt
        return cls(peek.messages, text, peek.tools, peek.max_tokens, adapter)

    def tokens(self, ratio: TokenRatio) -> int:
        """Return how many tokens the prompt has, exactly or by `ratio`."""
        return int(self.size / ratio.value) if self.exact is None else self.exact

    def prefix(self, ratio: TokenRatio) -> Prefix:
        """Return the prompt's marks."""
        each = ratio.value if self.exact is None else max(1.0, self.size / max(1, self.exact))
        return tuple([Mark(digest, int(size / each)) for digest, size in self._marks])

    def work(self, ratio: TokenRatio, answer: TypicalAnswer, *, prefix: bool = True) -> Work:
        """Return the request's work as expected; without `prefix` no marks are made."""
        marks = self.prefix(ratio) if prefix else ()
        return Work(self.tokens(ratio), answer.expected(self.max_tokens), marks)

    def identity(self, key: str | None) -> str:
        """Return 16 hex digits that all requests of a caller's conversation share.

        They come from what is the same in each of its turns: everything up to the end of the first
        message of the user, or the first KiB of a completion's prompt.
        """
        state = xxhash.xxh3_64(f"{key or ''}\0".encode())
        if _absent(self.messages):
            state.update(memoryview(self.text)[:IDENTITY_BYTES])
            return state.hexdigest()
        for message, _ in self._segments:
            state.update(message)
            if _role(message) == "user":
                break
        return state.hexdigest()

    @property
    def _marks(self) -> list[tuple[int, int]]:
        """Digest and size of the prompt's beginnings."""
        if self.size < FIRST_MARK:
            return []
        seed = xxhash.xxh3_64(f"{self.adapter or ''}\0".encode())
        seed.update(self.tools)
        state = xxhash.xxh3_64(seed=seed.intdigest())
        return list(_marks(state, self._segments, self._before))


def _is_crowded(value: Json) -> bool:
    """Whether a value may have so many items that they are not told apart."""
    return len(value) > MOST_ITEMS and bytes(value).count(b",") > MOST_ITEMS


def _split(messages: Json) -> Sequence[Json]:
    if _is_crowded(messages):
        return (messages,)
    try:
        return _list.decode(messages)
    except msgspec.DecodeError:  # no list: the engine will say so
        return (messages,)


def _count_ids(text: Json) -> int | None:
    """Return the token ids of a prompt that is given in them, else None."""
    if not _IDS.match(text):
        return None
    raw = bytes(text)
    return raw.count(b",") + 1 if _DIGIT.search(raw) else 0


def _absent(value: Json) -> bool:
    return len(value) <= _SHORT and bytes(value) in (NULL, b"")


def _marks(
    state: xxhash.xxh3_64, segments: Sequence[tuple[Json, int]], at: int
) -> Iterator[tuple[int, int]]:
    """Yield digests and sizes; where marks are depends only on what is before them."""
    least = FIRST_MARK
    for raw, size in segments:
        view, done = memoryview(raw), 0
        if size == len(view):
            for offset in islice(_GRID, bisect_right(_GRID, at), None):
                if offset >= at + size:
                    break
                if offset >= least:
                    state.update(view[done : offset - at])
                    done, least = offset - at, int(offset * LEAST_STEP)
                    yield state.intdigest(), offset
        state.update(view[done:])
        at += size
        if at >= least:
            least = int(at * LEAST_STEP)
            yield state.intdigest(), at


class _Roled(msgspec.Struct):
    role: str = ""


class _Parted(msgspec.Struct):
    content: list[msgspec.Raw] = []


class _Typed(msgspec.Struct):
    type: str = ""


_list = msgspec.json.Decoder(list[msgspec.Raw])
_roled = msgspec.json.Decoder(_Roled)
_parted = msgspec.json.Decoder(_Parted)
_typed = msgspec.json.Decoder(_Typed)


def _role(message: Json) -> str:
    seen = _ROLE.search(message, 0, _HEAD)
    if seen is not None:
        return seen[1].decode()
    try:
        return _roled.decode(message).role
    except msgspec.DecodeError:  # the engine will say what is wrong with it
        return ""


def _counted(message: Json) -> int:
    """Return the bytes of a message, each part of it that is no text as `MEDIA_BYTES`."""
    if _TEXT.search(message, 0, _HEAD):
        return len(message)
    if _is_crowded(message):
        return len(message)
    try:
        parts = _parted.decode(message).content
    except msgspec.DecodeError:  # it has no parts, or the engine will say what is wrong
        return len(message)
    return len(message) + sum(MEDIA_BYTES - len(part) for part in parts if not _is_text(part))


def _is_text(part: Json) -> bool:
    seen = _TYPE.match(part)
    if seen is not None:
        return seen[1] in _TEXT_PARTS
    try:
        return _typed.decode(part).type.encode() in _TEXT_PARTS
    except msgspec.DecodeError:
        return True
