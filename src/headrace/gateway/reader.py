"""Cuts a client's bytes into requests, strictly and within limits.

httptools parses with no leniency flags: what is accepted here, everything else on the path reads
the same way, so nothing can be smuggled in between. What is not accepted becomes a Failure, after
which nothing more is read. `server.py` owns one reader for each connection.
"""

from __future__ import annotations

import httptools

from headrace.gateway import errors
from headrace.gateway.control import Limits
from headrace.gateway.errors import Failure
from headrace.gateway.request import Headers, Request, request_id

MAX_HEADERS = 100
"""Header lines accepted in one request."""
_NEEDS_BODY = (b"POST", b"PUT", b"PATCH")
_UPGRADE = (b"upgrade", b"http2-settings", b"connection")


class _RefusedError(Exception):
    """Raised in the parser's callbacks to stop it; carries the reason out."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class RequestReader:
    """Feed it bytes, get requests.

    `in_request` says that one has begun and is not complete, `size` how many bytes of it came so
    far; `wants_continue` that its client waits for `100 Continue`; `ended` that nothing more will
    be read.
    """

    def __init__(self, limits: Limits) -> None:
        self.in_request = False
        self.wants_continue = False
        self.ended = False
        self.size = 0
        self._limits = limits
        self._in_head = False
        self._found: list[Request | Failure] = []
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> list[Request | Failure]:
        """Return the requests that `data` completes; a Failure is the last item ever."""
        if self.ended:
            return []
        in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._fail(_reason(error))
        except httptools.HttpParserError as error:
            self._fail(errors.malformed_http(str(error)))
        if in_head and self._in_head:
            self.size += len(data)
            if self.size > self._limits.max_head:
                self._fail(_head_too_large(self._limits.max_head))
        found, self._found = self._found, []
        return found

    # -- httptools' callbacks -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self._headers: Headers = []
        self._body: list[bytes] = []
        self.size = 0
        self.in_request = self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header; trailers of a chunked body are dropped."""
        self._count(len(name) + len(value) + 4)
        if self._in_head:
            self._headers.append((name.lower(), value))
            if len(self._headers) > MAX_HEADERS:
                raise _RefusedError(_too_many_headers())

    def on_headers_complete(self) -> None:
        """Refuse what need not be read any further."""
        self._in_head = False
        self.size = 0
        self._http10 = self._parser.get_http_version() != "1.1"
        self._method = self._parser.get_method()
        failure = _check_head(self._method, self._headers, self._limits, http10=self._http10)
        if failure is not None:
            raise _RefusedError(failure)
        expects = any(name == b"expect" for name, _ in self._headers)
        self.wants_continue = expects and not self._http10

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self.wants_continue = False
        self.size += len(body)
        if self.size > self._limits.max_body:
            raise _RefusedError(_body_too_large(self._limits.max_body))
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Give the request out, unless it is an upgrade, whose body httptools left unread."""
        self.in_request = self.wants_continue = False
        if self._parser.should_upgrade() and self._method != b"CONNECT":
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        keep_alive = self._parser.should_keep_alive() and not self._http10
        given = next((value for name, value in self._headers if name == b"x-request-id"), None)
        request = Request(
            method=self._method,
            target=self._target,
            headers=self._headers,
            body=body,
            http10=self._http10,
            keep_alive=keep_alive,
            id=request_id(given),
        )
        self._found.append(request)
        self._body = []
        self.ended = not keep_alive

    # -- inside -------------------------------------------------------------------------------

    def _count(self, length: int) -> None:
        self.size += length
        if self._in_head and self.size > self._limits.max_head:
            raise _RefusedError(_head_too_large(self._limits.max_head))

    def _fail(self, failure: Failure) -> None:
        if not self.ended:  # bytes after `Connection: close` are an error to nobody
            self._found.append(failure)
        self.ended = True
        self.in_request = self._in_head = self.wants_continue = False

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request as if it had not offered another protocol (as Java's clients do).

        RFC 9110 section 7.8 lets a server ignore the offer; httptools, though, stops at the head.
        """
        if self._method == b"CONNECT":
            self.ended = True
            return
        closing = any(n == b"connection" and b"close" in v.lower() for n, v in self._headers)
        kept = [header for header in self._headers if header[0] not in _UPGRADE]
        kept += [(b"connection", b"close")] if closing else []
        version = b"1.0" if self._http10 else b"1.1"
        lines = [b"%b %b HTTP/%b" % (self._method, self._target, version)]
        lines += [b"%b: %b" % header for header in kept]
        self._parser = httptools.HttpRequestParser(self)
        self._found = self.feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)


def _reason(error: httptools.HttpParserCallbackError) -> Failure:
    """Return the failure that a callback raised; any other exception is ours and goes on."""
    cause = error.__context__
    if isinstance(cause, _RefusedError):
        return cause.failure
    raise cause or error


def _check_head(method: bytes, headers: Headers, limits: Limits, *, http10: bool) -> Failure | None:
    """Return why a request with this head is refused before its body is read, or None."""
    fields = dict(headers)
    hosts = sum(name == b"host" for name, _ in headers)
    encoding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if hosts > 1 or (not hosts and not http10):
        return errors.malformed_http("there must be exactly one Host header")
    if encoding is not None and (http10 or encoding.lower() != b"chunked"):
        message = "The only Transfer-Encoding understood is chunked, in HTTP/1.1."
        return errors.of_status(501, "unknown_transfer_encoding", message)
    if encoding is None and length is None and method in _NEEDS_BODY:
        message = "The request has no body. Send a Content-Length or Transfer-Encoding: chunked."
        return errors.of_status(411, "length_required", message)
    if length is not None and int(length) > limits.max_body:
        return _body_too_large(limits.max_body)
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        return errors.of_status(417, "expectation_failed", "Only Expect: 100-continue is known.")
    return None


def _head_too_large(limit: int) -> Failure:
    message = f"The head of the request is larger than {limit} bytes."
    return errors.of_status(431, "head_too_large", message)


def _too_many_headers() -> Failure:
    message = f"The request has more than {MAX_HEADERS} headers."
    return errors.of_status(431, "head_too_large", message)


def _body_too_large(limit: int) -> Failure:
    message = f"The body is larger than the {limit} bytes that this gateway accepts."
    return errors.of_status(413, "body_too_large", message)
