"""The back end: it answers like vLLM at next to no cost, so that the proxy is what is measured.

One process listens on several ports (each is a back end to whoever connects). Streams are
Server-Sent Events in vLLM's shape, one event per HTTP chunk and per write: the first at once, then
one every gap. One timer serves all streams: every millisecond it writes to those whose turn it is.
`python -m bench.backend --gap-ms 20 --ports 2` prints its ports, and a report when its standard
input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from array import array
from typing import cast
from uuid import uuid4

import msgspec
import uvloop

from bench.messages import BackendReport, Ports
from bench.stats import quantiles

TICK = 0.001
PROMPT_TOKENS = 380  # of what `bench.client` sends, at four characters a token
_PEEK = 2048  # where the few fields that matter are looked for: the first and last bytes of a body

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_TOKENS = re.compile(rb'"max_tokens"\s*:\s*(\d+)')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')

_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 02 Nov 2026 10:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
_JSON_HEAD = (
    b"HTTP/1.1 %s\r\ndate: Mon, 02 Nov 2026 10:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
)
_FINGERPRINT = b"vllm-0.32.0-5f2c81d9"
_END = b"0\r\n\r\n"


def chunk(line: bytes) -> bytes:
    """Return one HTTP chunk that holds one Server-Sent Event."""
    event = line + b"\n\n"
    return b"%x\r\n" % len(event) + event + b"\r\n"


def usage(tokens: int) -> bytes:
    """Return vLLM's usage object."""
    total = PROMPT_TOKENS + tokens
    return b'{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}' % (
        PROMPT_TOKENS, total, tokens,
    )  # fmt: skip


class Events:
    """The events of one stream, as vLLM 0.32 writes them: first (role), next, last, and usage.

    Only the last that carries no usage has the fingerprint; a usage event comes if asked for.
    """

    def __init__(self, *, chat: bool, tokens: int, with_usage: bool) -> None:
        kind = b"chat.completion.chunk" if chat else b"text_completion"
        name = (b"chatcmpl-" if chat else b"cmpl-") + uuid4().hex[:16].encode()
        base = b'data: {"id":"%s","object":"%s","created":1793613600,' % (name, kind)
        base += b'"model":"bench","choices":['
        text = b'"delta":{"content":" headrace"}' if chat else b'"text":" headrace"'
        going = b'"logprobs":null,"finish_reason":null'
        stamp = b',"system_fingerprint":"%s"' % _FINGERPRINT
        self.next = chunk(base + b'{"index":0,%s,%s,"token_ids":null}]}' % (text, going))
        self.last = chunk(
            base
            + b'{"index":0,%s,"logprobs":null,"finish_reason":"length","stop_reason":null,' % text
            + b'"token_ids":null}]%s}' % (b"" if with_usage else stamp)
        )
        self.first = self.next
        if chat:
            role = b'{"index":0,"delta":{"role":"assistant","content":""},%s}]' % going
            self.first = chunk(base + role + b',"prompt_token_ids":null,"prompt_text":null}')
        self.usage = b""
        if with_usage:
            self.usage = chunk(base + b'],"usage":%s%s}' % (usage(tokens), stamp))


class Stream:
    """An answer under way: writes one event whenever it is told to."""

    def __init__(self, transport: asyncio.WriteTransport, events: Events, tokens: int) -> None:
        self.write = transport.write
        self.events = events
        self.event = events.next
        self.left = tokens - 1
        transport.write(_STREAM_HEAD)
        transport.write(events.first)

    def step(self) -> bool:
        """Write the next event; return whether more are to come."""
        self.left -= 1
        if self.left > 0:
            self.write(self.event)
        elif self.left == 0:
            self._finish()
        return self.left > 0

    def _finish(self) -> None:
        self.write(self.events.last)
        if self.events.usage:
            self.write(self.events.usage)
        self.write(chunk(b"data: [DONE]"))
        self.write(_END)


class Engine:
    """All streams, in a wheel of one slot per millisecond of the gap; each keeps its slot."""

    def __init__(self, gap_ms: int) -> None:
        self.wheel: list[list[Stream]] = [[] for _ in range(gap_ms)]
        self.turn = 0
        self.requests = 0
        self.events = 0
        self.lags = array("d")
        self._loop = asyncio.get_running_loop()
        self._start = time.perf_counter()
        self._loop.call_later(TICK, self._tick)

    def add(self, stream: Stream) -> None:
        """Let a stream that has just written its first event write the next after a whole gap."""
        self.events += 1
        self.wheel[self.turn % len(self.wheel)].append(stream)

    def _tick(self) -> None:
        elapsed = (time.perf_counter() - self._start) / TICK
        while self.turn < int(elapsed):
            # Ticks come a millisecond apart: up to that much is the timer's grain, not lateness.
            self.turn += 1
            slot = self.turn % len(self.wheel)
            if streams := self.wheel[slot]:
                self.lags.append(max(elapsed - self.turn - 1, 0.0) * TICK)
                self.events += len(streams)
                self.wheel[slot] = [stream for stream in streams if stream.step()]
        self._loop.call_later(TICK, self._tick)

    def report(self) -> BackendReport:
        """Return what was done so far."""
        return BackendReport(self.requests, self.events, quantiles(self.lags).p99)


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection: just enough of the protocol for well-behaved clients and proxies."""

    transport: asyncio.Transport

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.buffer = bytearray()
        self.stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the stream whose reader has gone."""
        del exc
        if self.stream is not None:
            self.stream.left = 0

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end])
            length = _LENGTH.search(head)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            front = bytes(self.buffer[end + 4 : min(total, end + 4 + _PEEK)])
            back = bytes(self.buffer[max(end + 4, total - _PEEK) : total])
            del self.buffer[:total]
            self._answer(head.split(b"\r\n", 1)[0].split(b" "), front + back)

    def _answer(self, line: list[bytes], peek: bytes) -> None:
        method, path = line[0], line[1]
        if method == b"POST" and path.endswith(b"completions"):
            self._complete(b"/chat/" in path, peek)
        elif path == b"/v1/models":
            self._json(b'{"object":"list","data":[{"id":"bench","object":"model"}]}')
        elif path in {b"/health", b"/metrics"}:
            self._json(b"")
        else:
            self._json(b'{"error":{"message":"no such path","code":404}}', b"404 Not Found")

    def _complete(self, chat: bool, peek: bytes) -> None:
        self.engine.requests += 1
        wanted = _TOKENS.search(peek)
        tokens = max(int(wanted[1]), 2) if wanted else 16
        if _STREAM.search(peek):
            events = Events(chat=chat, tokens=tokens, with_usage=bool(_USAGE.search(peek)))
            self.stream = Stream(self.transport, events, tokens)
            self.engine.add(self.stream)
        else:
            self._json(
                b'{"id":"chatcmpl-%s","object":"chat.completion","created":1793613600,"model":"bench","choices":'
                b'[{"index":0,"message":{"role":"assistant","content":"A headrace."},'
                b'"finish_reason":"stop"}],'
                b'"usage":%s}' % (uuid4().hex.encode(), usage(tokens))
            )

    def _json(self, body: bytes, status: bytes = b"200 OK") -> None:
        self.transport.write(_JSON_HEAD % (status, len(body)) + body)


async def serve(gap_ms: int, ports: int) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    engine = Engine(gap_ms)
    servers = [
        await loop.create_server(lambda: Connection(engine), "127.0.0.1", 0, backlog=2048)
        for _ in range(ports)
    ]
    say(Ports([server.sockets[0].getsockname()[1] for server in servers]))
    closed = loop.run_in_executor(None, sys.stdin.buffer.read)
    await closed
    say(engine.report())


def say(message: msgspec.Struct) -> None:
    """Print a message as one line."""
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="bench.backend")
    parser.add_argument("--gap-ms", type=int, default=20)
    parser.add_argument("--ports", type=int, default=2)
    options = parser.parse_args()
    uvloop.run(serve(options.gap_ms, options.ports))


if __name__ == "__main__":
    main()
