"""Bytes that clients may send: valid requests, broken in many ways, and smuggling attempts.

Everything is drawn from one seeded generator: the same seed gives the same inputs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Manner = Literal["whole", "pieces", "slow", "abort", "deaf"]
"""How it is sent: at once, in some pieces, in pieces with pauses, cut off with a reset, and sent
many times by a client that does not read."""


@dataclass(frozen=True)
class Input:
    """What one connection sends. `complete`: it is one whole request, so there must be a reply."""

    kind: str
    data: bytes
    manner: Manner = "whole"
    complete: bool = False


PATHS = (b"/v1/chat/completions", b"/v1/completions", b"/v1/embeddings")
LINES: Sequence[bytes] = (
    b"Content-Length: 5", b"Content-Length: +5", b"Content-Length: -1", b"Content-Length: 5, 5",
    b"Content-Length: 1_0", b"Content-Length: 0x5", b"Content-Length:", b"Content-Length: 5 5",
    b"Content-Length: 18446744073709551616", b"Content-Length: 99999999999", b"Content-Length : 5",
    b"Content_Length: 5", b"Content-Length\t: 5", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding:\x0bchunked", b"transfer_encoding: chunked", b"X: a\r\n b", b"X: a\r\n\tb",
    b"X: a\nY: b", b"X: a\rY: b", b"X: a\0b", b"X\0: a", b": a", b"no colon", b"\xc3\x84: a",
    b"X: \xff\xfe", b"Host: other", b"Expect: 100-continue", b"Expect: tea", b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: h2c", b"Connection: content-length",
    b"Connection: content-type, host", b"Authorization: Bearer nobody",
    b"Authorization: Basic eDp5", b"x-api-key: nobody", b"Content-Type: text/plain",
    b"Content-Encoding: gzip",
    b"X-Request-Id: a\tb", b"X-Request-Id: ../../etc", b"Trailer: X", b"TE: trailers",
    b"X: " + b"y" * 3000, b"X-Headrace-Replica: forged", b"Accept-Encoding: gzip, br",
    b"X-Team: a", b"X-Team: \xff",
)  # fmt: skip
TOKENS: Sequence[bytes] = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"0\r\n\r\n", b"5\r\nhello\r\n", b"5;a=b\r\n",
    b"ffffffffffffffff\r\n", b"-1\r\n", b"{", b"}", b'"', b"\\u0000", b"\\ud800", b"\xff",
    b"\xed\xa0\x80", b"\xef\xbb\xbf", b"HTTP/1.1", b"HTTP/0.9", b"HTTP/2.0", b"GET / HTTP/1.1\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: g\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: g\r\n\r\n", b"GET http://x/metrics HTTP/1.1\r\nHost: g\r\n\r\n",
    b"GET //v1/models HTTP/1.1\r\nHost: g\r\n\r\n",
    b"GET /v1/../metrics HTTP/1.1\r\nHost: g\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: g\r\n\r\n", b"GET /healthz\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
    b"GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"9" * 400, b"[" * 1200, b'{"a":' * 1200, b"%00", b"%2e%2e/", b"#", b"?api_key=x",
)  # fmt: skip


def post(body: bytes, key: str, path: bytes = PATHS[0], *lines: bytes) -> bytes:
    """Return a request with a length."""
    return _head(path, key, *lines, b"Content-Length: %d" % len(body)) + body


def _head(path: bytes, key: str, *lines: bytes) -> bytes:
    first = (
        b"POST %b HTTP/1.1" % path,
        b"Host: gateway",
        b"Content-Type: application/json",
        b"Authorization: Bearer " + key.encode(),
    )
    return b"\r\n".join((*first, *lines)) + b"\r\n\r\n"


class Maker:
    """Makes inputs. `key` is one that the gateway knows."""

    def __init__(self, seed: int, key: str) -> None:
        self._random = random.Random(seed)
        self._key = key
        self._kinds: tuple[tuple[int, Callable[[], Input]], ...] = (
            (40, self._mutated),
            (20, self._lines),
            (15, self._tokens),
            (15, self._chunked),
            (5, self._valid),
            (4, self._impatient),
            (1, self._deaf),
        )

    def make(self, count: int) -> Iterator[Input]:
        """Yield `count` inputs of all kinds, mixed."""
        weights = [weight for weight, _ in self._kinds]
        makers = [maker for _, maker in self._kinds]
        for maker in self._random.choices(makers, weights, k=count):
            yield maker()

    def shuffle(self, inputs: list[Input]) -> None:
        """Mix inputs from elsewhere with these."""
        self._random.shuffle(inputs)

    def _body(self) -> bytes:
        fields: dict[str, object] = {"model": self._random.choice(["m", "m", "m", "nobody"])}
        if self._random.random() < 0.5:
            fields["stream"] = self._random.random() < 0.7
        words = self._random.choice((20, 20, 20, 200))  # 200 words are near the bounds of routes
        fields["messages"] = [
            {"role": "user", "content": "hello " * self._random.randrange(1, words)}
        ]
        if self._random.random() < 0.3:
            fields["max_tokens"] = self._random.choice((1, 64, 65, 10**6))
        fields = fields if self._random.random() < 0.8 else dict(reversed(fields.items()))
        return json.dumps(fields).encode()

    def _request(self) -> bytes:
        draw = self._random
        if draw.random() < 0.2:
            path = draw.choice([b"/healthz", b"/v1/models", b"/v1/models/m", b"/metrics", b"/x"])
            return b"GET %b HTTP/1.1\r\nHost: g\r\n\r\n" % path
        return post(self._body(), self._key, draw.choice(PATHS))

    def _valid(self) -> Input:
        return Input("valid", post(self._body(), self._key), self._manner(), complete=True)

    def _manner(self) -> Manner:
        return self._random.choice(("whole", "whole", "whole", "pieces"))

    def _mutated(self) -> Input:
        data = b"".join(self._request() for _ in range(self._random.choice((1, 1, 2, 3))))
        for _ in range(self._random.choice((1, 1, 2, 4, 8))):
            data = self._mutate(data)
        return Input("mutated", data, self._manner())

    def _mutate(self, data: bytes) -> bytes:
        draw = self._random
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 1, 2, 8, 40)))
        replacement = draw.choice(
            (
                b"",
                data[at:end] * 2,
                draw.randbytes(1),
                draw.randbytes(end - at),
                draw.choice(TOKENS),
            )
        )
        return data[:at] + replacement + data[end if draw.random() < 0.7 else at :]

    def _lines(self) -> Input:
        lines = self._random.choices(LINES, k=self._random.choice((1, 1, 2, 3)))
        body = self._body()
        own = self._random.random() < 0.6
        length = [b"Content-Length: %d" % len(body)] if own else []
        lines = [*lines, *length]
        self._random.shuffle(lines)
        tail = self._random.choice((b"", b"", b"0\r\n\r\n", self._request()))
        return Input("lines", _head(PATHS[0], self._key, *lines) + body + tail, self._manner())

    def _tokens(self) -> Input:
        parts = [
            self._random.choice((*TOKENS, *LINES, self._request(), self._random.randbytes(9)))
            for _ in range(self._random.randrange(1, 9))
        ]
        return Input("tokens", b"".join(parts), self._manner())

    def _chunked(self) -> Input:
        draw, body = self._random, self._body()
        out = bytearray(_head(PATHS[0], self._key, b"Transfer-Encoding: chunked"))
        while body:
            size = draw.choice((1, 2, 7, 30, 1000))
            part, body = body[:size], body[size:]
            extension = draw.choice((b"",) * 6 + (b";a", b';a="b"', b" ", b";" + b"x" * 500))
            out += draw.choice((b"%x", b"%x", b"%X", b"0%x")) % len(part) + extension
            out += b"\r\n" + part + b"\r\n"
        out += b"0\r\n" + draw.choice((b"", b"", b"X: y\r\n", b"Content-Length: 5\r\n")) + b"\r\n"
        data = bytes(out)
        if draw.random() < 0.7:
            data = self._mutate(data)
        return Input("chunked", data, self._manner())

    def _impatient(self) -> Input:
        data = self._request() * self._random.choice((1, 2))
        manner: Manner = self._random.choice(("slow", "abort", "abort"))
        if manner == "abort":
            data = data[: self._random.randrange(1, len(data) + 1)]
        return Input("impatient", data, manner)

    def _deaf(self) -> Input:
        return Input("deaf", self._request() * 50, "deaf")
