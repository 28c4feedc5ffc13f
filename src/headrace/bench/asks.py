"""One request of a load: what is sent, when it is due, and how much is expected of it."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a chat."""

    role: str
    content: str


Prompt = str | tuple[Message, ...]
"""Text for `/completions`, or the messages of a chat."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request before it is sent.

    `at` is when it is due, in seconds from the run's beginning; None in a closed loop, where it is
    due when a client has its last answer. `prompt_tokens` are by the engine's own tokenizer,
    template included; None where nobody could count. `shape` names the kind of request, such as
    `short/long`.

    Turn n of a `session` is due `wait` seconds after turn n-1 was answered, whatever the loop; if
    it has an `at`, as in the replay of a trace, not before that. Its `prompt` has only what is new:
    a client sends the earlier prompts of the session, each with the answer that it got, in front:
    as messages (the answer with the role `assistant`), or as text put together as it is. If an
    earlier turn has no whole answer, the session ends there. Its `prompt_tokens` are those of all
    that is sent if every earlier answer has its `max_tokens`, so at most; what was really sent is
    in the answer's usage.
    """

    number: int
    prompt: Prompt
    max_tokens: int
    at: float | None = None
    prompt_tokens: int | None = None
    shape: str = ""
    session: int | None = None
    turn: int = 0
    wait: float = 0.0
    warmup: bool = False
