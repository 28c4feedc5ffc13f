"""One answer as it is read: HTTP, server-sent events, tokens and their times.

`connection.py` notes when bytes came and calls `feed` with that time a moment later, so nothing
done here moves a time. What counts is what vLLM's own benchmark counts (`endpoint_request_func.py`)
with one difference: the first token is the first event with text, of an answer, of reasoning or of
a tool call, while vLLM's also counts the empty event by which some servers open a chat at once.
After that, every event with a choice ends a gap, the one with the finish reason included: its token
is in the usage, so its time belongs into TPOT.

`drill/reading.py` reads whole recordings and judges their form; `bench/client.py` of the repository
counts events and nothing else. This one has to be as cheap as the latter and almost as strict as
the former, while thousands of streams run, so it is a third.
"""

from __future__ import annotations

import contextlib
import re

import httptools
import msgspec

from headrace.bench.answers import Failure
from headrace.bench.reply_events import (
    Choice,
    Usage,
    clean,
    data_of,
    decode,
    error_text,
    other_text,
    shown,
)

_LONGEST_HEAD = 1 << 16
_LONGEST_EVENT = 1 << 18
_LONGEST_PLAIN = 1 << 16
"""Of a body that is no stream so much is looked at."""
_LONGEST = 1 << 28
"""Bytes of a whole answer; an endless one has to end somewhere."""
_SERVED = re.compile(rb": served by (\S+) after held (\d+) ms, queued (\d+) ms")
_WAITS = (b"x-headrace-replica", b"x-headrace-held-ms", b"x-headrace-queued-ms")
OK = _FINAL = 200


class Reply:
    """What came so far; `over` says that nothing more is worth waiting for."""

    __slots__ = (
        *("at", "complete", "done", "events", "finish", "first", "gaps", "headers", "keep_alive"),
        *("last", "over", "plain", "plain_events", "size", "status", "text", "usage", "wrong"),
        *("_feed", "_parser", "_rest", "_streams"),
    )

    def __init__(self, *, keep_text: bool) -> None:
        self.at = 0.0
        """When the bytes came that are being read."""
        self.size = 0
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.plain = b""
        """A body that is no stream, its beginning."""
        self.first: float | None = None
        self.last: float | None = None
        self.gaps: list[float] = []
        self.events = 0
        """Events with text."""
        self.plain_events = 0
        """Those of them whose text is an answer's: each is a token at least."""
        self.text: list[str] | None = [] if keep_text else None
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.done: float | None = None
        """When `[DONE]` came."""
        self.complete = False
        """Whether HTTP says that this was all."""
        self.keep_alive = False
        self.wrong: tuple[Failure, str] | None = None
        self.over = False
        self._rest = b""
        self._streams = False
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data

    def feed(self, at: float, data: bytes) -> None:
        """Read bytes that came at that time."""
        self.at = at
        self.size += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self.fail(Failure.RUBBISH, f"not HTTP: {error}")
        except httptools.HttpParserUpgrade:
            self.fail(Failure.RUBBISH, "it changed to another protocol")
        if self.size > _LONGEST_HEAD and self.status is None:
            self.fail(Failure.RUBBISH, f"a head of more than {_LONGEST_HEAD} bytes")
        if self.size > _LONGEST:
            self.fail(Failure.RUBBISH, f"an answer of more than {_LONGEST} bytes")

    def release(self) -> None:
        """Let go of the parser, which holds on to this reply as well."""
        del self._parser, self._feed

    def end_of_file(self) -> None:
        """Take the connection's end as the answer's where nothing else tells that."""
        sized = b"content-length" in self.headers or b"transfer-encoding" in self.headers
        if self.status is not None and not sized and self.wrong is None:
            self.on_message_complete()

    def fail(self, failure: Failure, detail: str) -> None:
        """Note what is wrong; the first thing that was counts."""
        self.over = True
        if self.wrong is None:
            self.wrong = failure, clean(detail)

    # -- httptools calls these ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin; after the end of the answer that is more than was asked for."""
        if self.complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; the head's length is bounded by `feed`."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Decide how the body is read."""
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < _FINAL:
            self.headers.clear()
            return
        self.status = status
        encoding = self.headers.get(b"content-encoding", b"identity")
        if encoding != b"identity":
            self.fail(Failure.RUBBISH, f"compressed ({encoding.decode('latin-1')}), unasked")
        kind = self.headers.get(b"content-type", b"").lower()
        self._streams = status == OK and kind.startswith(b"text/event-stream")

    def on_body(self, data: bytes) -> None:
        """Read a piece of the body."""
        if self._streams:
            self._read(data)
        elif len(self.plain) < _LONGEST_PLAIN:
            self.plain += data[:_LONGEST_PLAIN]

    def on_message_complete(self) -> None:
        """End, unless that was a 100 or its like, which an answer follows."""
        if self.status is None or self.over:
            return
        self.complete = self.over = True
        with contextlib.suppress(httptools.HttpParserError):
            self.keep_alive = self._parser.should_keep_alive()
        if self._rest.strip():
            self._block(self._rest.strip())  # some leave out the empty line after the last event

    # -- events -------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if b"\r" in data:  # JSON has none, so this is the end of a line
            data = data.replace(b"\r\n", b"\n")
        begin = 0
        while (end := data.find(b"\n\n", begin)) >= 0:
            self._block(data[begin:end])
            begin = end + 2
        self._rest = data[begin:]
        if len(self._rest) > _LONGEST_EVENT:
            self.fail(Failure.RUBBISH, f"an event of more than {_LONGEST_EVENT} bytes")

    def _block(self, block: bytes) -> None:
        if block.startswith(b"data: ") and b"\n" not in block:
            data = block[6:]
        else:
            if block.startswith(b": served by "):
                self._served(block)
            data = data_of(block)
            if not data:
                return
        if data.startswith(b"{"):
            self._event(data)
        elif data.strip() == b"[DONE]":
            self.done = self.at
        else:
            self.fail(Failure.RUBBISH, f"an event that is no JSON object: {shown(data)}")

    def _served(self, comment: bytes) -> None:
        """Take from the gateway's comment what its head did not know yet: it was sent too early."""
        found = _SERVED.match(comment)
        if found is not None:
            self.headers.update(zip(_WAITS, found.groups(), strict=True))

    def _event(self, data: bytes) -> None:
        try:
            event = decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
            self.fail(Failure.RUBBISH, f"no event: {wrong}: {shown(data)}")
            return
        if event.choices:
            self._choice(event.choices[0])
        if event.usage is not None:
            self.usage = event.usage
        elif event.error is not None or event.object == "error":
            self.fail(Failure.ERROR, error_text(data))
        if self.done is not None:
            self.fail(Failure.RUBBISH, "an event after [DONE]")

    def _choice(self, choice: Choice) -> None:
        text = choice.text
        if text:
            self.plain_events += 1
        elif choice.delta is not None:
            text = choice.delta.content
            if text:
                self.plain_events += 1
            else:
                text = other_text(choice.delta)
        at = self.at
        if text:
            self.events += 1
            if self.text is not None:
                self.text.append(text)
        if self.last is not None:
            self.gaps.append(at - self.last)
            self.last = at
        elif text:
            self.first = self.last = at
        if choice.finish_reason is not None:
            self.finish = choice.finish_reason
