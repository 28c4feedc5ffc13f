"""From the bytes of one answer, and when they came, to what the client saw.

Done once an answer is over, so that a client costs next to nothing while a thousand streams run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import httptools
import msgspec

from headrace.drill.asks import Ask
from headrace.drill.seen import End, Seen, Usage

Chunk = tuple[float, bytes]
_ERRORS_FROM = 400


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Part(msgspec.Struct):
    role: str | None = None
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int
    text: str | None = None
    delta: _Part | None = None
    message: _Part | None = None
    finish_reason: str | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None


class _Event(msgspec.Struct):
    id: str = ""
    object: str = ""
    model: str = ""
    created: int = 0
    choices: list[_Choice] = []
    usage: _Usage | None = None
    prompt_token_ids: list[int] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class _Body:
    """Collects head and body; httptools calls it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = bytearray()
        self.ends: list[int] = []
        self.times: list[float] = []
        self.now = 0.0
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.data += data
        self.ends.append(len(self.data))
        self.times.append(self.now)

    def on_message_complete(self) -> None:
        self.complete = True

    def time_of(self, end: int) -> float:
        """Return when the byte before `end` came."""
        return self.times[bisect_right(self.ends, end - 1)]


def read(ask: Ask, began: float, chunks: Sequence[Chunk], ended: float, end: End) -> Seen:
    """Return what the client saw."""
    seen = Seen(ask, began, ended, end)
    if not chunks:
        return seen
    body = _Body()
    parser = httptools.HttpResponseParser(body)
    try:
        for body.now, data in chunks:
            parser.feed_data(data)
    except httptools.HttpParserError as error:
        seen.oddities.append(f"no HTTP: {error}")
    seen.headers, seen.complete = body.headers, body.complete
    if body.headers:
        seen.status = parser.get_status_code()
        _read_body(seen, body)
    return seen


def _read_body(seen: Seen, body: _Body) -> None:
    assert seen.status is not None  # noqa: S101 - the caller read the head
    if seen.status >= _ERRORS_FROM:
        seen.errors.append(_error_of(bytes(body.data)))
    elif "text/event-stream" in seen.headers.get("content-type", ""):
        for end, block in _blocks(bytes(body.data)):
            _read_block(seen, body.time_of(end), block)
    elif seen.complete:
        _read_event(seen, body.now, bytes(body.data))


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each block that its empty line ended, and where that was."""
    begin = 0
    while (end := data.find(b"\n\n", begin)) >= 0:
        yield end + 2, data[begin:end]
        begin = end + 2


def _read_block(seen: Seen, at: float, block: bytes) -> None:
    if seen.done:
        seen.oddities.append("an event after [DONE]")
    if block == b"data: [DONE]":
        seen.done += 1
    elif block.startswith(b"data: ") and b"\n" not in block:
        _read_event(seen, at, block[6:])
    elif block.startswith(b":"):
        seen.comments.append((at, block[1:].decode("utf-8", "replace").strip()))
    else:
        seen.oddities.append(f"no event: {block[:80]!r}")


def _read_event(seen: Seen, at: float, data: bytes) -> None:
    try:
        event = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        seen.oddities.append(f"no event: {wrong}")
        return
    if event.error is not None:
        seen.errors.append(_error_of(data))
        return
    seen.heads.add((event.id, event.object, event.model, event.created))
    if event.prompt_token_ids:
        seen.prompt_ids = event.prompt_token_ids
    for choice in event.choices:
        _read_choice(seen, at, choice)
    if event.usage is not None:
        used = event.usage
        seen.usages.append(Usage(used.prompt_tokens, used.completion_tokens, used.total_tokens))
        if seen.ask.stream and event.choices:
            seen.oddities.append("usage on an event with a choice")


def _read_choice(seen: Seen, at: float, choice: _Choice) -> None:
    part = choice.delta or choice.message
    text = choice.text or (part.content if part else None) or ""
    seen.indices.add(choice.index)
    if part is not None and part.role is not None:
        seen.roles.append(part.role)
        if seen.times:
            seen.oddities.append("a role after the first token")
    if (text or choice.token_ids) and seen.finishes:
        seen.oddities.append("a token after the finish reason")
    if text or choice.token_ids:
        seen.times.append(at)
    seen.text += text
    seen.token_ids += choice.token_ids or ()
    seen.prompt_ids = choice.prompt_token_ids or seen.prompt_ids
    if choice.finish_reason is not None:
        seen.finishes.append(choice.finish_reason)


def _error_of(data: bytes) -> str:
    """Return an error's code and message as far as it has OpenAI's shape."""
    try:
        error = msgspec.json.decode(data)["error"]
        return f"{error.get('code') or error.get('type')}: {error.get('message')}"
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        return data[:200].decode("utf-8", "replace")
