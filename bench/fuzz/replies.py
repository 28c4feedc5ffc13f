"""Reads what the gateway sends back, strictly, and says what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [\x20-\x7e]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
_SIZE = re.compile(rb"[0-9a-f]{1,8}")
MEANT = {
    "too_much_in_flight", "too_many_connections", "waited_too_long", "draining", "queue_full",
}  # fmt: skip
"""Codes of the 5xx that are meant; any other is a violation."""


class BadReplyError(Exception):
    """The bytes are not HTTP/1.1 as the standard has it."""


@dataclass(frozen=True)
class Reply:
    """One answer; `body` without its framing."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def code(self) -> str:
        """The error's code, "" if there is none."""
        try:
            return str(json.loads(self.body)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return ""


def split(data: bytes) -> tuple[list[Reply], bytes]:
    """Return the whole replies in `data`, and what is left; BadReplyError."""
    replies = []
    while (found := _one(data)) is not None:
        reply, data = found
        replies.append(reply)
    return replies, data


def problems(reply: Reply) -> Iterator[str]:
    """Yield what is wrong with a reply."""
    if reply.status == 100:
        return
    if b"x-request-id" not in reply.headers:
        yield f"{reply.status} without x-request-id"
    if reply.status >= 500 and reply.code not in MEANT:
        yield f"{reply.status} {reply.code}: {reply.body[:200]!r}"
    if reply.status >= 400:
        yield from _error_problems(reply)
    elif reply.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
        yield from _stream_problems(reply)


def _error_problems(reply: Reply) -> Iterator[str]:
    if reply.headers.get(b"content-type") != b"application/json":
        yield f"{reply.status} with content-type {reply.headers.get(b'content-type')!r}"
        return
    error = json.loads(reply.body).get("error")
    if not isinstance(error, dict) or error.keys() != {"message", "type", "param", "code"}:
        yield f"{reply.status} not in the shape of an error: {reply.body[:200]!r}"
    elif reply.status == 401 and b"www-authenticate" not in reply.headers:
        yield "401 without www-authenticate"


def _stream_problems(reply: Reply) -> Iterator[str]:
    if not reply.body.endswith(b"data: [DONE]\n\n"):
        yield f"a stream ended with {reply.body[-200:]!r}"


def _one(data: bytes) -> tuple[Reply, bytes] | None:
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise BadReplyError(f"status line {first[:100]!r}")
    headers = dict(_field(line) for line in lines)
    code = int(status[1])
    if code == 100:
        return Reply(code, headers, b""), rest
    if headers.get(b"transfer-encoding") == b"chunked":
        return _chunks(code, headers, rest)
    if b"content-length" not in headers:
        raise BadReplyError(f"{code} is neither chunked nor has a length")
    length = int(headers[b"content-length"])
    if len(rest) < length:
        return None
    return Reply(code, headers, rest[:length]), rest[length:]


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise BadReplyError(f"header line {line[:100]!r}")
    return found[1].lower(), found[2]


def _chunks(code: int, headers: dict[bytes, bytes], rest: bytes) -> tuple[Reply, bytes] | None:
    body = b""
    while True:
        size, end, after = rest.partition(b"\r\n")
        if not end:
            return None
        if not _SIZE.fullmatch(size):
            raise BadReplyError(f"chunk size {size[:40]!r}")
        length = int(size, 16)
        if len(after) < length + 2:
            return None
        if after[length : length + 2] != b"\r\n":
            raise BadReplyError("a chunk is longer than its size")
        body += after[:length]
        rest = after[length + 2 :]
        if not length:
            return Reply(code, headers, body), rest
