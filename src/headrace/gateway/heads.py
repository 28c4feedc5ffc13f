"""HTTP heads: what of a head is passed on, what is added, and how it is written.

Headers that belong to one connection ("hop by hop", RFC 9110 section 7.6.1) stop here in both
directions. So do keys, cookies and the query (`?api_key=…`): engines ask for none of them but may
log them, and what is not sent cannot leak.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import httptools
import msgspec

from headrace.gateway.request import Headers

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# accept-encoding is kept back because a compressed stream could not be accounted for.
_NOT_TO_ENGINE = _HOP_BY_HOP | {
    b"accept-encoding",
    b"api-key",
    b"authorization",
    b"content-length",
    b"cookie",
    b"expect",
    b"host",
    b"http2-settings",
    b"x-api-key",
    b"x-auth-token",
    b"x-request-id",
}
_NOT_TO_CLIENT = _HOP_BY_HOP | {b"content-length", b"x-request-id"}
_OURS = b"x-headrace-"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class AnswerHead(msgspec.Struct, kw_only=True):
    """An engine's response head. `length` is None when it is not told."""

    status: int
    headers: Headers
    chunked: bool
    length: int | None
    keep_alive: bool

    def get(self, name: bytes) -> bytes:
        """Return the first header of that (lower-case) name, empty when absent."""
        return next((value for key, value in self.headers if key == name), b"")

    @property
    def events(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.get(b"content-type").lower().startswith(b"text/event-stream")


class _Parsed:
    """httptools' callbacks for one response head."""

    def __init__(self) -> None:
        self.headers: Headers = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_answer(data: bytes) -> AnswerHead:
    """Parse a whole response head, blank line included; raises ValueError when it is not one."""
    parsed = _Parsed()
    parser = httptools.HttpResponseParser(parsed)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise ValueError(str(error)) from error
    if not parsed.complete:
        raise ValueError("the head of the answer is incomplete")
    status = parser.get_status_code()
    fields = dict(parsed.headers)
    encoding = fields.get(b"transfer-encoding", b"").lower()
    if encoding not in (b"", b"chunked"):
        raise ValueError(f"unknown transfer encoding {encoding!r}")
    has_body = status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    length = int(fields[b"content-length"]) if b"content-length" in fields else None
    return AnswerHead(
        status=status,
        headers=parsed.headers,
        chunked=encoding == b"chunked" and has_body,
        length=length if has_body else 0,
        keep_alive=parser.should_keep_alive(),
    )


def to_engine(
    method: bytes, target: bytes, headers: Headers, *, host: bytes, length: int, request_id: str
) -> bytes:
    """Write the request head for a replica; of the target it gets the path."""
    named = _named_by_connection(headers)
    path = target.partition(b"?")[0]
    lines = [b"%b %b HTTP/1.1\r\nhost: %b" % (method, path, host)]
    lines += [
        b"%b: %b" % (name, value)
        for name, value in headers
        if name not in _NOT_TO_ENGINE and name not in named and not name.startswith(_OURS)
    ]
    lines.append(b"content-length: %d\r\nx-request-id: %b" % (length, request_id.encode()))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def to_client(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a response head as it is given."""
    lines = [b"HTTP/1.1 %d %b" % (status, _REASONS.get(status, b""))]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def passed_on(head: AnswerHead) -> Headers:
    """Return the headers of an engine's answer that the client gets."""
    named = _named_by_connection(head.headers)
    return [
        (name, value)
        for name, value in head.headers
        if name not in _NOT_TO_CLIENT and name not in named and not name.startswith(_OURS)
    ]


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """Return the further headers that a `Connection` header says stop at this hop."""
    names = b",".join(value for name, value in headers if name == b"connection")
    return frozenset(part.strip().lower() for part in names.split(b",")) if names else frozenset()
