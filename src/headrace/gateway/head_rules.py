"""What the head of a request must be like before its body is read.

Pure rules over a head that httptools has parsed. Where RFC 9112 leaves a choice, the choice is to
refuse: two readers of the same bytes must not be able to disagree (request smuggling). `reader.py`
applies them; `heads.py` writes heads.
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.gateway import errors
from headrace.gateway.control import Limits
from headrace.gateway.errors import Failure
from headrace.gateway.request import Headers

MAX_HEADERS = 100
"""Header lines accepted in one request."""
_NEEDS_BODY = (b"POST", b"PUT", b"PATCH")
_ONCE = (
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"expect", b"host",
    b"transfer-encoding", b"x-api-key",
)  # fmt: skip


class Checked(NamedTuple):
    """What a good head says of the body: its length in bytes, 0 if there is none or is chunked."""

    length: int
    expects_continue: bool


def check(
    version: str, method: bytes, target: bytes, headers: Headers, limits: Limits
) -> Checked | Failure:
    """Return what the head says of the body, or why the request is refused before it."""
    http10 = version == "1.0"
    if version not in ("1.0", "1.1"):
        return errors.malformed_http(f"HTTP/{version} is not spoken here")
    if b"#" in target:
        return errors.malformed_http("the target has a fragment (#), which is never sent")
    fields = dict(headers)
    if len(fields) < len(headers) and (name := _twice(headers)):
        return errors.malformed_http(f"there is more than one {name} header")
    if b"host" not in fields and not http10:
        return errors.malformed_http("the Host header is missing")
    return _check_body(method, fields, limits, http10=http10)


def _check_body(
    method: bytes, fields: dict[bytes, bytes], limits: Limits, *, http10: bool
) -> Checked | Failure:
    encoding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if encoding is not None and (http10 or encoding.strip().lower() != b"chunked"):
        message = "The only Transfer-Encoding understood is chunked, in HTTP/1.1."
        return errors.of_status(400, "unknown_transfer_encoding", message)
    if encoding is None and length is None and method in _NEEDS_BODY:
        message = "The request has no body. Send a Content-Length or Transfer-Encoding: chunked."
        return errors.of_status(411, "length_required", message)
    size = 0 if length is None else int(length)
    if size > limits.max_body:
        return body_too_large(limits.max_body)
    expects = fields.get(b"expect")
    if expects is not None and expects.strip().lower() != b"100-continue":
        return errors.of_status(417, "expectation_failed", "Only Expect: 100-continue is known.")
    return Checked(size, expects is not None and not http10)


def _twice(headers: Headers) -> str:
    """Return the header that is there twice though it may not be, "" if there is none."""
    names = [name for name, _ in headers]
    return next((name.decode() for name in _ONCE if names.count(name) > 1), "")


def too_large(limit: int) -> Failure:
    """431: the head has too many bytes."""
    message = f"The head of the request is larger than {limit} bytes."
    return errors.of_status(431, "head_too_large", message)


def too_many() -> Failure:
    """431: the head has too many lines."""
    message = f"The request has more than {MAX_HEADERS} headers."
    return errors.of_status(431, "head_too_large", message)


def body_too_large(limit: int) -> Failure:
    """413: the body has too many bytes."""
    message = f"The body is larger than the {limit} bytes that this gateway accepts."
    return errors.of_status(413, "body_too_large", message)
