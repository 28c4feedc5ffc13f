"""How many tokens a prompt has, asked of a replica before the request is routed.

Only asked where an estimate could be wrong about the route or the context: it costs a round trip.
Engines with vLLM's API count at `/tokenize`, chat template included. Whatever goes wrong, the
estimate stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import msgspec

from headrace.gateway import heads
from headrace.gateway.relay import MAX_ANSWER, PlainRelay

if TYPE_CHECKING:
    from headrace.gateway.heads import AnswerHead
    from headrace.gateway.request import Headers, Peek
    from headrace.gateway.upstream import Call, Pool, Relay
    from headrace.routing.attempts import Fate

PATIENCE = 2.0
"""Seconds after which a replica's count is waited for no longer."""
_FORM: Headers = [(b"content-type", b"application/json")]
_OK = 200


class _Answer(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class Count:
    """One question to a replica; `then` is called exactly once, with None where there is no answer.

    It is an upstream.Caller.
    """

    def __init__(self, then: Callable[[int | None], object]) -> None:
        self._then: Callable[[int | None], object] | None = then
        self._call: Call | None = None
        self._status = 0
        self._relay: PlainRelay | None = None
        self._parts: list[bytes] = []
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._end, None)

    def ask(self, pool: Pool, peek: Peek, model: str, request_id: str) -> None:
        """Ask the replica behind a pool, whose engine calls the model by that name."""
        body = question(peek, model)
        head = heads.to_engine(
            b"POST", b"/tokenize", _FORM,
            host=pool.address, length=len(body), request_id=request_id,
        )  # fmt: skip
        self._call = pool.start(self, (head, body))

    def answer_began(self, head: AnswerHead) -> Relay:
        """Take the head."""
        self._status = head.status
        self._relay = PlainRelay(head, self._keep, chunked=False, start=bytes)
        return self._relay

    def answer_done(self) -> None:
        """Read the answer."""
        relay, self._call = self._relay, None
        if relay is not None:
            relay.finish()
        self._end(_count(b"".join(self._parts)) if self._status == _OK else None)

    def answer_broke(self, what: str, fate: Fate) -> None:  # noqa: ARG002  Caller's signature
        """Do without."""
        self._call = None
        self._end(None)

    def crashed(self) -> None:
        """Do without: the exchange sees to its own mistakes."""
        self._end(None)

    def cancel(self) -> None:
        """Forget the question: nobody needs the answer any more."""
        self._then = None
        self._end(None)

    def _keep(self, data: bytes) -> None:
        self._parts.append(data)
        if self._relay is not None and self._relay.bytes > MAX_ANSWER:
            self._end(None)

    def _end(self, count: int | None) -> None:
        self._timer.cancel()
        self._relay = None  # it holds this
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        then, self._then = self._then, None
        if then is not None:
            then(count)


def question(peek: Peek, model: str) -> bytes:
    """Return the body that asks for the token count of a request's prompt."""
    fields: dict[str, object] = {"model": model}
    if bytes(peek.messages) != b"null":
        fields |= {"messages": peek.messages, "add_generation_prompt": True}
        if bytes(peek.tools) != b"null":
            fields["tools"] = peek.tools
    else:
        fields["prompt"] = peek.prompt if bytes(peek.prompt) != b"null" else peek.input
    return msgspec.json.encode(fields)


def _count(body: bytes) -> int | None:
    try:
        return msgspec.json.decode(body, type=_Answer).count
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
