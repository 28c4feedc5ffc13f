"""The client's side of one answer: its head, comments while it waits, and how it ends badly.

`exchange.py` decides what is said; here it is said in the right place: in the head while there is
none, in the stream after that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headrace.gateway import heads
from headrace.gateway.chunked import LAST_CHUNK, frame
from headrace.gateway.request import Headers

if TYPE_CHECKING:
    from headrace.gateway.account import Account
    from headrace.gateway.errors import Failure
    from headrace.gateway.heads import AnswerHead

OK = 200
_EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]


class Audience(Protocol):
    """Who gets an answer: a client's connection (`server.py`), or nobody (`shadow.py`)."""

    chunked: bool
    stays_open: bool

    def write(self, data: bytes, /) -> object:
        """Send a part of the answer."""

    def refuse(self, failure: Failure, known: Headers) -> None:
        """Answer with an error; ends the request."""

    def answered(self, *, close: bool = False) -> None:
        """Take note that the answer is written."""

    def abort(self) -> None:
        """End without a proper end."""


class Reply:
    """What one client gets. `head_sent`: its status is decided; `in_band`: it gets a stream."""

    def __init__(self, client: Audience, account: Account) -> None:
        self.head_sent = False
        self.in_band = False
        self._client = client
        self._account = account

    def begin_stream(self, answer: AnswerHead) -> bytes:
        """Return the head of a stream that passes on an engine's."""
        fields = [*heads.passed_on(answer), *self._framing(None)]
        return self._head(OK, fields, self._account.headers())

    def begin_plain(self, answer: AnswerHead) -> bytes:
        """Return the head of any other answer of an engine."""
        fields = [*heads.passed_on(answer), *self._framing(answer.length)]
        return self._head(answer.status, fields, self._account.headers())

    def comment(self, text: str) -> None:
        """Say something between events that no client takes for one; begin the stream if needed."""
        if not self.head_sent:
            self.in_band = True
            # The waits go on, so the head tells nothing of them; a later comment will.
            known = self._account.route_headers()
            self._client.write(self._head(OK, [*_EVENT_STREAM, *self._framing(None)], known))
        self._say(b": %b\n\n" % text.encode())

    def fail(self, failure: Failure) -> None:
        """End with a failure: a response if nothing was sent yet, an event in a stream."""
        if not self.head_sent:
            self._client.refuse(failure, self._account.headers())
        elif self.in_band:
            self._say(failure.event())
            if self._client.chunked:
                self._client.write(LAST_CHUNK)
            self._client.answered(close=True)
        else:
            self._client.abort()  # the only way to say that a plain body is not whole

    def _say(self, payload: bytes) -> None:
        self._client.write(frame(payload) if self._client.chunked else payload)

    def _head(self, status: int, headers: Headers, known: Headers) -> bytes:
        self.head_sent, self._account.status = True, status
        return heads.to_client(status, [*headers, *known])

    def _framing(self, length: int | None) -> Headers:
        headers: Headers = []
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        elif self._client.chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        if not self._client.stays_open:
            headers.append((b"connection", b"close"))
        return headers
