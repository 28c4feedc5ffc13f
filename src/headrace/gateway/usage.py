"""Token counts, ends and breaks of answers, as engines with OpenAI's API report them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding JSON of others may raise; it may be nested without end."""
TERMINAL = b'"finish_reason":"'
TERMINAL_SPACED = b'"finish_reason": "'
USAGE = b'"prompt_tokens"'
"""What the last events of a stream contain and no other does: inside a JSON string the quotes would
be escaped, so text of the model cannot look like this."""

ERROR = b'"error"'
"""In the events with which an engine gives up; inside a JSON string it would be escaped too."""

_ORDINARY = re.compile(
    rb'(?P<before>data: ?[^\n]*?"(?:content|text|reasoning(?:_content)?)": ?")'
    rb'(?:[^"\\\n]|\\.)*'
    rb'(?P<after>"[^"\n]*(?:"[a-z_]*": ?null[^"\n]*)*\n\n)'
)
REASONING = re.compile(rb'"reasoning(?:_content)?": ?"\Z')
_SPECIAL = re.compile(rb'"(?:role": ?"|usage": ?\{|error")')
_UNFINISHED = re.compile(rb'"finish_reason": ?null')
_ABORT = re.compile(rb'"finish_reason": ?"abort"')
_IDS = re.compile(rb'("(?:prompt_)?token_ids": ?)\[[0-9, ]*\]')
_FINGERPRINT = re.compile(rb'"system_fingerprint": ?"[^"\\]*"')


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request."""

    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    queue_s: float | None = None
    """Seconds that the request waited inside the engine, where the engine says that."""

    @property
    def cached_tokens(self) -> int | None:
        """Tokens of the prompt that came from the engine's cache, None where it does not say."""
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Metrics(msgspec.Struct):
    queue_time_ms: float | None = None


class Answer(msgspec.Struct):
    """The fields of a response body, or of one event, that accounting reads."""

    usage: Usage | None = None
    choices: list[_Choice] | None = None
    metrics: _Metrics | None = None

    @property
    def counts(self) -> Usage | None:
        """The usage, with the wait inside the engine (vLLM: `--enable-per-request-metrics`)."""
        wait = self.metrics.queue_time_ms if self.metrics else None
        if self.usage is None or wait is None:
            return self.usage
        return msgspec.structs.replace(self.usage, queue_s=round(wait / 1000, 6))

    @property
    def aborted(self) -> bool:
        """Whether the engine gave the request up while it was shutting down."""
        return any(choice.finish_reason == "abort" for choice in self.choices or ())


_decoder = msgspec.json.Decoder(Answer)


def read_answer(body: bytes) -> Answer | None:
    """Return what accounting reads from a JSON body; None when it is not of that shape."""
    try:
        return _decoder.decode(body)
    except UNREADABLE:
        return None


def read_event(event: bytes) -> Answer | None:
    """Return the same from one server-sent event."""
    return read_answer(event.strip().removeprefix(b"data:"))


def around_text(event: bytes) -> tuple[bytes, bytes] | None:
    """Return what is before and after the text of an ordinary event, its quotes included.

    None unless only null fields follow the text, `finish_reason` among them: so an event with the
    same ending is no terminal event (when one answer was asked for). None too if it carries a role,
    counts or an error.
    """
    found = _ORDINARY.fullmatch(event)
    if found is None or not _UNFINISHED.search(found["after"]) or _SPECIAL.search(found["before"]):
        return None
    return found["before"], found["after"]


def error_in(event: bytes) -> str:
    """Return the words of an event with which an engine gives up, empty for any other."""
    try:
        value = msgspec.json.decode(event.strip().removeprefix(b"data:"), type=dict[str, Any])
    except UNREADABLE:
        return ""
    return error_words(value)


def error_words(event: dict[str, Any]) -> str:
    """Return the same for an event that is read already."""
    error = event if event.get("object") == "error" else event.get("error")
    if not error:
        return ""
    message = error.get("message") if isinstance(error, dict) else error
    return f"said: {str(message)[:200]}"


def without_ids(event: bytes) -> bytes:
    """Return the event as it would be had nobody asked for token ids."""
    return _IDS.sub(rb"\1null", event)


def is_abort(event: bytes) -> bool:
    """Whether a terminal event says that the engine gave the request up."""
    return _ABORT.search(event) is not None


def restore_fingerprint(terminal: bytes, usage_event: bytes) -> bytes:
    """Return the terminal event as it would have been without a usage event after it.

    Engines stamp `system_fingerprint` on the last event that they send. Asked for usage they stamp
    the usage event; when that is withheld, the stamp goes back to the terminal event.
    """
    stamp = _FINGERPRINT.search(usage_event)
    end = terminal.rfind(b"}")
    if stamp is None or end < 0 or _FINGERPRINT.search(terminal):
        return terminal
    return b"%b,%b%b" % (terminal[:end], stamp[0], terminal[end:])
