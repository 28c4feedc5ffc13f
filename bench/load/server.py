"""A cheap server that streams like an engine and writes the time into every token.

All streams get their next token in the same step, as in continuous batching; that is also the
hardest case for a client's clock. `python -m bench.load.server PORT GAP` (seconds; 0: at once).
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic
from typing import cast

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_TOKEN = (
    b'data: {"id":"cmpl-0","object":"text_completion","created":1,"model":"m","choices":[{"index":'
    b'0,"text":"%.7f ","logprobs":null,"finish_reason":%b,"stop_reason":null}],"usage":null}\n\n'
)
_END = (
    b'data: {"id":"cmpl-0","object":"text_completion","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":4,"total_tokens":4,"completion_tokens":%d}}\n\n'
)
_DONE = b"data: [DONE]\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream(asyncio.Protocol):
    """A connection; `left` tokens of its present answer are still to come."""

    def __init__(self, streams: set[Stream], gap: float) -> None:
        self._streams, self._gap = streams, gap
        self._request = b""
        self._total = self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        del exc
        self._streams.discard(self)

    def data_received(self, data: bytes) -> None:
        """Begin to answer once the request is whole."""
        self._request += data
        head, _, body = self._request.partition(b"\r\n\r\n")
        if not body or len(body) < _length(head):
            return
        self._request = b""
        self._total = self._left = json.loads(body)["max_tokens"]
        self._transport.write(_HEAD)
        if self._gap:
            self._streams.add(self)
        else:
            while self._left:
                self.token()

    def token(self) -> None:
        """Send the next token, and the end after the last."""
        self._left -= 1
        finish = b"null" if self._left else b'"length"'
        data = _chunk(_TOKEN % (monotonic(), finish))
        if not self._left:
            data += _chunk(_END % self._total) + _chunk(_DONE) + b"0\r\n\r\n"
            self._streams.discard(self)
        self._transport.write(data)


def _length(head: bytes) -> int:
    name = b"content-length: "
    at = head.lower().index(name) + len(name)
    return int(head[at:].split(b"\r\n", 1)[0])


async def serve(port: int, gap: float) -> None:
    """Serve until killed."""
    streams: set[Stream] = set()
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Stream(streams, gap), "127.0.0.1", port, backlog=4096)
    step = monotonic()
    while True:
        step = max(step + (gap or 1.0), monotonic())
        await asyncio.sleep(step - monotonic())
        for stream in list(streams):
            stream.token()


if __name__ == "__main__":
    # Not on uvloop: that one gathers what is written and sends it later than the token says.
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
