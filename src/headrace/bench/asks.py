"""One request of a load: what is sent, when it is due, and how much is expected of it."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a chat."""

    role: str
    content: str


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request before it is sent.

    `at` is when it is due, in seconds from the run's beginning; None in a closed loop, where it is
    due when a client has its last answer. `prompt` is text for `/completions`, or the messages of a
    chat. `prompt_tokens` are by the engine's own tokenizer, template included; None where nobody
    could count. `shape` names the kind of request, such as `short/long`. Turn n of a `session` is
    not sent before turn n-1 was answered (its `wait` seconds after that, at the earliest).
    """

    number: int
    prompt: str | tuple[Message, ...]
    max_tokens: int
    at: float | None = None
    prompt_tokens: int | None = None
    shape: str = ""
    session: int | None = None
    turn: int = 0
    wait: float = 0.0
    warmup: bool = False
