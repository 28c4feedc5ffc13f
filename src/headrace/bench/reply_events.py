"""The events of a streamed answer, as far as a load generator looks at them, and their words."""

from __future__ import annotations

from typing import Any

import msgspec

_DETAIL = 200
"""Characters that are shown of what came."""


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None


class Delta(msgspec.Struct, gc=False):
    """What an event of a chat adds to the message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


class Choice(msgspec.Struct, gc=False):
    """A piece of an answer: `text` of a completion, `delta` of a chat."""

    text: str | None = None
    delta: Delta | None = None
    finish_reason: str | None = None


class _Cached(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class Usage(msgspec.Struct, gc=False):
    """What the engine counted."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Cached | None = None


class Event(msgspec.Struct, gc=False):
    """One event; an error is one, too."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None
    object: str = ""
    message: Any = None


decode = msgspec.json.Decoder(Event).decode


def data_of(block: bytes) -> bytes:
    """Return the data of a block of any form: with comments, other fields, more than a line."""
    lines = (line for line in block.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def other_text(delta: Delta) -> str | None:
    """Return the text of reasoning or of tool calls, if there is any."""
    text = delta.reasoning_content or delta.reasoning
    if text or not delta.tool_calls:
        return text
    called = (call.function for call in delta.tool_calls if call.function is not None)
    return "".join((one.name or "") + (one.arguments or "") for one in called)


def error_text(data: bytes) -> str:
    """Return an error's message as far as it has OpenAI's shape, else what came."""
    try:
        found = msgspec.json.decode(data)
        error = found.get("error") or found
        said = error if isinstance(error, str) else error.get("message") or error.get("code")
    except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError):
        said = None
    return clean(str(said)) if said else shown(data) or "nothing said"


def shown(data: bytes) -> str:
    """Return the beginning of some bytes so that it can be shown."""
    return clean(data[:_DETAIL].decode("utf-8", "replace"))


def clean(text: str) -> str:
    """Return the beginning of a text without what no terminal should get."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_DETAIL]).strip()
