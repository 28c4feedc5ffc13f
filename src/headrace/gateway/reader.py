"""Cuts a client's bytes into requests, strictly and within limits.

httptools parses with no leniency flags, and what it leaves to others (two lengths that agree, two
content types, versions that are not HTTP/1) is refused in `head_rules.py`: what is accepted here,
everything else on the path reads the same way, so nothing can be smuggled in between. What is not
accepted becomes a Refusal, after which nothing more is read. `server.py` owns one reader for each
connection.
"""

from __future__ import annotations

import httptools
import msgspec

from headrace.gateway import errors, head_rules
from headrace.gateway.admission import Admission, Share
from headrace.gateway.control import Limits
from headrace.gateway.errors import Failure
from headrace.gateway.request import Headers, Request, origin_form, path_of, request_id

SIP = 16 * 1024
"""Bytes to feed at once where requests may begin, so that there are not many in them."""
MAX_FRAMING = 64 * 1024 + 2 * SIP
"""Bytes of chunk sizes, extensions and trailers in a body, beyond as many as its payload has."""
_UPGRADE = (b"upgrade", b"http2-settings", b"connection")


class Refusal(msgspec.Struct, frozen=True):
    """What became of bytes that are not a request. `bodiless`: it was to a HEAD request."""

    failure: Failure
    id: str
    bodiless: bool = False


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

    def __init__(self, limits: Limits, admission: Admission) -> None:
        self.in_request = False
        self.wants_continue = False
        self.ended = False
        self.size = 0
        self._limits = limits
        self._admission = admission
        self._in_head = False
        self._method = b""
        self._headers: Headers = []
        self._length = 0
        self._framed = 0
        self._share: Share | None = None
        self._found: list[Request | Refusal] = []
        self._parser = httptools.HttpRequestParser(self)

    @property
    def appetite(self) -> int:
        """How many bytes to feed at most: the rest of a body, or little."""
        if self.in_request and not self._in_head:
            return max(self._length - self.size, SIP)
        return SIP

    def feed(self, data: bytes) -> list[Request | Refusal]:
        """Return the requests that `data` completes; a Refusal is the last item ever."""
        if self.ended:
            return []
        in_head = self._in_head
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError as error:
            self._fail(_reason(error))
        except httptools.HttpParserError as error:
            self._fail(errors.malformed_http(str(error)))
        if in_head and self._in_head:
            self.size += len(data)
            if self.size > self._limits.max_head:
                self._fail(head_rules.too_large(self._limits.max_head))
        elif self.in_request and not self._in_head:
            self._framed += len(data)
            if not self._length and self._framed > 2 * self.size + MAX_FRAMING:
                self._fail(errors.malformed_http("there is more chunk framing than body"))
        found, self._found = self._found, []
        return found

    def forget(self) -> None:
        """Let the parser go, which holds this reader: for a connection that is no more."""
        self.close()
        del self._parser

    def close(self) -> None:
        """Give back what an unfinished request holds."""
        self.ended = True
        self._let_go()

    # -- httptools' callbacks -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self._headers = []
        self._body: bytes | bytearray = b""
        self.size = self._framed = self._length = 0
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
            if len(self._headers) > head_rules.MAX_HEADERS:
                raise _RefusedError(head_rules.too_many())

    def on_headers_complete(self) -> None:
        """Refuse what need not be read any further, and let the rest in."""
        self._in_head = False
        self.size = 0
        version = self._parser.get_http_version()
        self._http10 = version == "1.0"
        self._method = self._parser.get_method()
        checked = head_rules.check(version, self._method, self._target, self._headers, self._limits)
        if isinstance(checked, Failure):
            raise _RefusedError(checked)
        self._length = checked.length
        self._target = origin_form(self._target)
        share = self._admission.enter(path_of(self._target), self._headers, checked.length)
        if isinstance(share, Failure):
            raise _RefusedError(share)
        self._share = share
        self.wants_continue = checked.expects_continue

    def on_body(self, body: bytes) -> None:
        """Collect the body: nearly always one piece; many small ones must not cost more."""
        self.wants_continue = False
        self.size += len(body)
        if self.size > self._limits.max_body:
            raise _RefusedError(head_rules.body_too_large(self._limits.max_body))
        if self._share is not None and (failure := self._share.grow(len(body))):
            raise _RefusedError(failure)
        if not self._body:
            self._body = body
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += body

    def on_message_complete(self) -> None:
        """Give the request out, unless it is an upgrade, whose body httptools left unread."""
        self.in_request = self.wants_continue = False
        connects = self._method == b"CONNECT"
        if self._parser.should_upgrade() and not connects:
            self._let_go()
            return
        keep_alive = self._parser.should_keep_alive() and not self._http10 and not connects
        request = Request(
            method=self._method,
            target=self._target,
            headers=self._headers,
            body=bytes(self._body),
            http10=self._http10,
            keep_alive=keep_alive,
            id=self._id(),
            share=self._share,
        )
        self._found.append(request)
        self._share = None
        self._body = b""
        self.ended = not keep_alive

    # -- inside -------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade(data[upgrade.args[0] :])
            else:
                return

    def _without_upgrade(self, rest: bytes) -> bytes:
        """Return the request as if it had not offered another protocol (as Java's clients do).

        RFC 9110 section 7.8 lets a server ignore the offer; httptools, though, stops at the head.
        """
        if self._method == b"CONNECT":
            return b""
        closing = any(n == b"connection" and b"close" in v.lower() for n, v in self._headers)
        kept = [header for header in self._headers if header[0] not in _UPGRADE]
        kept += [(b"connection", b"close")] if closing else []
        version = b"1.0" if self._http10 else b"1.1"
        lines = [b"%b %b HTTP/%b" % (self._method, self._target, version)]
        lines += [b"%b: %b" % header for header in kept]
        self._parser = httptools.HttpRequestParser(self)
        return b"\r\n".join(lines) + b"\r\n\r\n" + rest

    def _count(self, length: int) -> None:
        self.size += length if self._in_head else 0
        if self._in_head and self.size > self._limits.max_head:
            raise _RefusedError(head_rules.too_large(self._limits.max_head))

    def _fail(self, failure: Failure) -> None:
        if not self.ended:  # bytes after `Connection: close` are an error to nobody
            bodiless = self._method == b"HEAD" and not self._in_head
            self._found.append(Refusal(failure, self._id(), bodiless))
        self.close()
        self.in_request = self._in_head = self.wants_continue = False

    def _let_go(self) -> None:
        share, self._share = self._share, None
        if share is not None:
            share.leave()

    def _id(self) -> str:
        given = next((value for name, value in self._headers if name == b"x-request-id"), None)
        return request_id(given)


def _reason(error: httptools.HttpParserCallbackError) -> Failure:
    """Return the failure that a callback raised; any other exception is ours and goes on."""
    cause = error.__context__
    if isinstance(cause, _RefusedError):
        return cause.failure
    raise cause or error
