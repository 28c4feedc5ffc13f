"""Two readers of the same bytes must see the same requests: the gateway, and what is behind it."""

from __future__ import annotations

import asyncio
import json

import h11
import pytest
from harness import PLAIN, rig, soon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.gateway import heads
from headrace.gateway.admission import Admission
from headrace.gateway.control import Limits
from headrace.gateway.reader import Refusal, RequestReader
from headrace.gateway.request import Request

START = b"POST /v1/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
BODY = json.dumps(PLAIN).encode()
CL = b"Content-Length: %d\r\n" % len(BODY)
TE = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
HIDDEN = b"GET /metrics HTTP/1.1\r\nHost: g\r\n\r\n"


def read(data: bytes, limits: Limits | None = None) -> list[Request | Refusal]:
    return RequestReader(limits or Limits(), Admission()).feed(data)


# Each is one ambiguous or malformed request, followed by one that must not be seen.
REFUSED = {
    "both lengths": START + CL + TE + b"\r\n" + CHUNKS,
    "both, other order": START + TE + CL + b"\r\n" + CHUNKS,
    "two lengths": START + CL + b"Content-Length: 5\r\n\r\n" + BODY,
    "two equal lengths": START + CL + CL + b"\r\n" + BODY,
    "a list of lengths": START + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": START + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": START + b"Content-Length: -5\r\n\r\nhello",
    "a spaced length": START + b"Content-Length: 1 0\r\n\r\nhellohello",
    "an underscored length": START + b"Content-Length: 1_0\r\n\r\nhellohello",
    "a hex length": START + b"Content-Length: 0x5\r\n\r\nhello",
    "an empty length": START + b"Content-Length:\r\n\r\n",
    "a length past 64 bits": START + b"Content-Length: 18446744073709551617\r\n\r\nx",
    "space before the colon": START + b"Content-Length : 5\r\n\r\nhello",
    "tab before the colon": START + b"Transfer-Encoding\t: chunked\r\n\r\n" + CHUNKS,
    "chunked, identity": START + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS,
    "identity": START + b"Transfer-Encoding: identity\r\n\r\n" + CHUNKS,
    "gzip, chunked": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "identity, then chunked": START + b"Transfer-Encoding: identity\r\n" + TE + b"\r\n" + CHUNKS,
    "chunked twice": START + TE + TE + b"\r\n" + CHUNKS,
    "an unknown encoding": START + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "vertical tab": START + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + CHUNKS,
    "a folded encoding": START + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
    "chunked in HTTP/1.0": START.replace(b"1.1", b"1.0") + TE + b"\r\n" + CHUNKS,
    "a folded line": START + b"X: a\r\n b\r\n" + CL + b"\r\n" + BODY,
    "bare line feeds": START.replace(b"\r\n", b"\n") + CL.replace(b"\r\n", b"\n") + b"\n" + BODY,
    "one bare line feed": START + b"X: a\nY: b\r\n" + CL + b"\r\n" + BODY,
    "a bare return": START + b"X: a\rY: b\r\n" + CL + b"\r\n" + BODY,
    "a NUL in a name": START + b"X\0: a\r\n" + CL + b"\r\n" + BODY,
    "a NUL in a value": START + b"X: a\0b\r\n" + CL + b"\r\n" + BODY,
    "a control in a value": START + b"X: a\x01b\r\n" + CL + b"\r\n" + BODY,
    "an empty name": START + b": a\r\n" + CL + b"\r\n" + BODY,
    "no colon": START + b"abc\r\n" + CL + b"\r\n" + BODY,
    "space before the first header": START.replace(b"\r\nHost", b"\r\n Host") + CL + b"\r\n" + BODY,
    "a wide name": START + "Ä: a\r\n".encode() + CL + b"\r\n" + BODY,
    "two hosts": START + b"Host: h\r\n" + CL + b"\r\n" + BODY,
    "no host": START.replace(b"Host: g\r\n", b"") + CL + b"\r\n" + BODY,
    "two content types": START + b"Content-Type: text/plain\r\n" + CL + b"\r\n" + BODY,
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/0.9 by name": START.replace(b"1.1", b"0.9") + CL + b"\r\n" + BODY,
    "HTTP/1.2": START.replace(b"1.1", b"1.2") + CL + b"\r\n" + BODY,
    "HTTP/2.0": START.replace(b"1.1", b"2.0") + CL + b"\r\n" + BODY,
    "a lower-case protocol": START.replace(b"HTTP", b"http") + CL + b"\r\n" + BODY,
    "a space in the target": START.replace(b"/v1/", b"/v1 /") + CL + b"\r\n" + BODY,
    "a NUL in the target": START.replace(b"/v1/", b"/v1\0/") + CL + b"\r\n" + BODY,
    "a wide byte in the target": START.replace(b"/v1/", b"/v1\xff/") + CL + b"\r\n" + BODY,
    "a fragment": START.replace(b"completions", b"completions#x") + CL + b"\r\n" + BODY,
    "a lower-case method": b"get /healthz HTTP/1.1\r\nHost: g\r\n\r\n",
    "an unknown method": b"HACK /healthz HTTP/1.1\r\nHost: g\r\n\r\n",
    "a negative chunk": START + TE + b"\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a signed chunk": START + TE + b"\r\n+5\r\nhello\r\n0\r\n\r\n",
    "a 0x chunk": START + TE + b"\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "an empty chunk size": START + TE + b"\r\n\r\nhello\r\n0\r\n\r\n",
    "space in a chunk size": START + TE + b"\r\n5 \r\nhello\r\n0\r\n\r\n",
    "a chunk past 64 bits": START + TE + b"\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a long chunk": START + TE + b"\r\n5\r\nhello!\r\n0\r\n\r\n",
    "a bare line feed after a size": START + TE + b"\r\n5\nhello\r\n0\r\n\r\n",
    "a bare line feed after a chunk": START + TE + b"\r\n5\r\nhello\n0\r\n\r\n",
    "a bare line feed in an extension": START + TE + b"\r\n5;a\nhello\r\n0\r\n\r\n",
    "a NUL in an extension": START + TE + b"\r\n5;\0\r\nhello\r\n0\r\n\r\n",
    "a length as trailer": START + TE + b"\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(name: str) -> None:
    async with rig() as it:
        wire = await it.connect()
        wire.send(REFUSED[name] + HIDDEN)
        answer = await wire.answer()
        assert 400 <= answer.status < 500
        assert answer.headers["connection"] == "close"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert await wire.closed()


ACCEPTED = {
    "a length": START + CL + b"\r\n" + BODY,
    "a padded length": START + b"Content-Length:  %d \t\r\n\r\n" % len(BODY) + BODY,
    "leading zeros": START + b"Content-Length: 000%d\r\n\r\n" % len(BODY) + BODY,
    "chunks": START + TE + b"\r\n" + CHUNKS,
    "upper-case chunked": START + TE.replace(b"chunked", b"CHUNKED") + b"\r\n" + CHUNKS,
    "an extension": START + TE + b"\r\n%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(BODY), BODY),
    "a padded size": START + TE + b"\r\n000%X\r\n%b\r\n00\r\n\r\n" % (len(BODY), BODY),
    "a trailer": START + TE + b"\r\n%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(BODY), BODY),
    "an absolute target": START.replace(b"/v1", b"http://x/v1", 1) + CL + b"\r\n" + BODY,
    "a query": START.replace(b"completions", b"completions?key=secret") + CL + b"\r\n" + BODY,
    "length named by connection": START + b"Connection: content-length\r\n" + CL + b"\r\n" + BODY,
    "host named by connection": START + b"Connection: host, x\r\nX: 1\r\n" + CL + b"\r\n" + BODY,
    "an upgrade": START + b"Connection: upgrade\r\nUpgrade: h2c\r\n" + CL + b"\r\n" + BODY,
    "empty lines before": b"\r\n\r\n" + START + CL + b"\r\n" + BODY,
    "wide values": START + b"X: \xe9\xff\r\n" + CL + b"\r\n" + BODY,
    "an empty value": START + b"X:\r\n" + CL + b"\r\n" + BODY,
    "underscores in a name": START + b"Content_Length: 3\r\n" + CL + b"\r\n" + BODY,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted_is_passed_on_so_that_a_stranger_reads_the_same(name: str) -> None:
    first, second = read(ACCEPTED[name] + HIDDEN)
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    (head, body), leftover = as_h11_reads(passed_on(first))
    assert (body, leftover) == (BODY, b"")
    assert (head.method, head.target) == (b"POST", b"/v1/completions")
    names = [name for name, _ in head.headers]
    assert names.count(b"host") == names.count(b"content-length") == 1
    assert not {b"transfer-encoding", b"upgrade", b"connection", b"x-api-key"}.intersection(names)
    assert second.path == "/metrics"


def passed_on(request: Request) -> bytes:
    """Return what an engine would get."""
    head = heads.to_engine(
        request.method,
        request.target,
        request.headers,
        host=b"127.0.0.1:1",
        length=len(request.body),
        request_id=request.id,
    )
    return head + request.body


def as_h11_reads(data: bytes) -> tuple[tuple[h11.Request, bytes], bytes]:
    """Read one request with another parser; return it and what is left over."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    connection.receive_data(data)
    head = connection.next_event()
    assert isinstance(head, h11.Request)
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += event.data
    return (head, body), connection.trailing_data[0]


PIECES = st.sampled_from(
    [
        START, CL, TE, b"\r\n", BODY, CHUNKS, HIDDEN, b"0\r\n\r\n", b"5\r\nhello\r\n", b"X: y\r\n",
        b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"hello", b"Connection: upgrade\r\n",
        b"Upgrade: h2c\r\n", b"Connection: close\r\n", b"Connection: te, x\r\n", b"\n", b"\r", b" ",
        b"Expect: 100-continue\r\n", b"GET http://x/v1/models HTTP/1.1\r\nHost: g\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n", b"POST /v1/completions HTTP/1.0\r\n", b"\0", b";a=b",
    ]
)  # fmt: skip


@given(pieces=st.lists(PIECES | st.binary(max_size=4), max_size=14), cuts=st.integers(1, 40))
@settings(max_examples=400, deadline=None)
def test_any_bytes_that_become_requests_are_the_same_to_a_stranger(
    pieces: list[bytes], cuts: int
) -> None:
    data = b"".join(pieces)
    for request in read(data):
        if isinstance(request, Request):
            (head, body), leftover = as_h11_reads(passed_on(request))
            assert (body, leftover) == (request.body, b"")
            assert head.method == request.method
    assert summary(read(data)) == summary(read_in_pieces(data, cuts))


def read_in_pieces(data: bytes, size: int) -> list[Request | Refusal]:
    reader = RequestReader(Limits(), Admission())
    return [item for at in range(0, len(data), size) for item in reader.feed(data[at : at + size])]


def summary(items: list[Request | Refusal]) -> list[object]:
    """How they are cut into reads changes no requests; a refusal may be worded otherwise."""
    return [
        (item.method, item.target, item.headers, item.body)
        if isinstance(item, Request)
        else item.failure.status
        for item in items
    ]


@pytest.mark.parametrize(
    "line",
    [b"X: a\r\n\r\nHTTP/1.1 200 OK", b"X: a\rb", b"X: a\nSet-Cookie: b", b"X: a\0b", b"X: a\r\n b"],
)
def test_an_engine_cannot_split_the_clients_answer(line: bytes) -> None:
    """What httptools takes for one header goes out as one; the rest is refused as malformed."""
    data = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + line + b"\r\n\r\n"
    head, blank, _ = data.partition(b"\r\n\r\n")
    try:
        answer = heads.parse_answer(head + blank)
    except ValueError:
        return
    out = heads.to_client(200, heads.passed_on(answer))
    assert out.count(b"\r\n\r\n") == 1
    assert b"Set-Cookie" not in out


async def test_a_client_cannot_split_its_own_answer() -> None:
    async with rig() as it:
        wire = await it.connect()
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: g\r\nX-Request-Id: a\xff%0d%0aX: y\r\n\r\n")
        answer = await wire.answer()
        assert answer.headers["x-request-id"].startswith("req-")
        assert "x" not in answer.headers


@given(data=st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_bytes_never_become_more_than_refusals(data: bytes) -> None:
    for item in read(data):
        assert isinstance(item, Refusal)
        assert 400 <= item.failure.status < 500


async def test_the_table_covers_a_live_connection_too() -> None:
    """One of the accepted, by the wire: what follows it is answered as a request of its own."""
    async with rig(queue_limit=0) as it:
        wire = await it.connect()
        wire.send(ACCEPTED["an upgrade"] + b"GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n")
        assert (await wire.answer()).status == 429
        assert (await soon(asyncio.ensure_future(wire.answer()))).status == 200
