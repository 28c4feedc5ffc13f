"""The bytes of a request, as vLLM's own benchmark asks: a stream, with usage at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.bench.asks import Ask, Message, Prompt
from headrace.bench.load import Load
from headrace.bench.target import Target, place

_encode = msgspec.json.Encoder().encode


class Writer:
    """Writes the requests of one run; `mark` ends each one's `x-request-id`.

    Its number comes first, so that the first letters, which lists show, tell requests apart.
    """

    def __init__(self, target: Target, load: Load, mark: str) -> None:
        where = place(target.address)
        self._chat = target.chat
        self._mark = mark.encode()
        path = f"{where.base}/{'chat/' if target.chat else ''}completions"
        self._head = "\r\n".join((
            f"POST {path} HTTP/1.1",
            f"host: {where.authority}",
            "user-agent: headrace-bench",
            "accept: text/event-stream",
            "accept-encoding: identity",
            "content-type: application/json",
            *(() if load.reuse else ("connection: close",)),
            *((f"authorization: Bearer {target.key}",) if target.key else ()),
            "x-request-id: ",
        )).encode("latin-1")  # fmt: skip
        self._fields: dict[str, Any] = {
            "model": target.model,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if load.temperature is not None:
            self._fields["temperature"] = load.temperature
        if load.exact_length:
            # Not min_tokens as well: that makes some engines do work at every step.
            self._fields["ignore_eos"] = True

    def request(self, ask: Ask, before: Sequence[Message] = ()) -> bytes:
        """Return the whole request; `before` is what a conversation has said so far."""
        fields = self._fields | {"max_tokens": ask.max_tokens}
        if self._chat:
            fields["messages"] = (*before, *messages(ask.prompt))
        else:
            fields["prompt"] = "".join((*(one.content for one in before), text(ask.prompt)))
        body = _encode(fields)
        own = b"%d-%b\r\ncontent-length: %d" % (ask.number, self._mark, len(body))
        return b"%b%b\r\n\r\n%b" % (self._head, own, body)


def messages(prompt: Prompt) -> tuple[Message, ...]:
    """Return a prompt as the messages of a chat."""
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt


def text(prompt: Prompt) -> str:
    """Return a prompt as one text."""
    return prompt if isinstance(prompt, str) else "\n".join(one.content for one in prompt)
