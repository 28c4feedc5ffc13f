"""Token counts and ends of answers, as engines with OpenAI's API report them."""

from __future__ import annotations

import re

import msgspec

TERMINAL = b'"finish_reason":"'
TERMINAL_SPACED = b'"finish_reason": "'
USAGE = b'"prompt_tokens"'
"""What the last events of a stream contain and no other does: inside a JSON string the quotes would
be escaped, so text of the model cannot look like this."""

_ORDINARY = re.compile(rb'"finish_reason": ?null[^"]*(?:"[a-z_]*": ?null[^"]*)*\Z')
_ABORT = re.compile(rb'"finish_reason": ?"abort"')
_FINGERPRINT = re.compile(rb'"system_fingerprint": ?"[^"\\]*"')


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request."""

    prompt_tokens: int = 0
    completion_tokens: int | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class Answer(msgspec.Struct):
    """The fields of a response body, or of one event, that accounting reads."""

    usage: Usage | None = None
    choices: list[_Choice] | None = None

    @property
    def aborted(self) -> bool:
        """Whether the engine gave the request up while it was shutting down."""
        return any(choice.finish_reason == "abort" for choice in self.choices or ())


_decoder = msgspec.json.Decoder(Answer)


def read_answer(body: bytes) -> Answer | None:
    """Return what accounting reads from a JSON body; None when it is not of that shape."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_event(event: bytes) -> Answer | None:
    """Return the same from one server-sent event."""
    return read_answer(event.strip().removeprefix(b"data:"))


def ordinary_ending(data: bytes) -> bytes | None:
    """Return the ending of `data` from `"finish_reason":null` on, if only null fields follow.

    An event with the same ending is no terminal event (when one answer was asked for) and carries
    no usage.
    """
    found = _ORDINARY.search(data)
    return found[0] if found else None


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
