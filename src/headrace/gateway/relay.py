"""The body of an answer on its way from engine to client: passed on, counted, hardly looked at.

This is the hot path. `EventRelay.feed` recognises the common read by its two ends: it begins with
the size line that makes it exactly one chunk, and it ends as an ordinary event of this stream ends.
Such a read costs two comparisons and one write; the client gets the engine's bytes with the
engine's framing. Several whole chunks at once take three searches more. Any other read (cut events,
the last events of a stream, other framings) goes through exact parsers and is framed anew: the
payload is the same byte for byte.

A relay knows nothing of connections. `upstream.py` feeds it; `exchange.py` made it and asks it for
counts at the end. To continue a broken stream elsewhere, `exchange.py` would need from here what
the client has got so far: that seam is `EventRelay`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from headrace.gateway import usage
from headrace.gateway.chunked import (
    LAST_CHUNK,
    Dechunker,
    FramingError,
    frame,
    one_chunk_start,
    whole_chunks,
)
from headrace.gateway.heads import AnswerHead
from headrace.gateway.usage import TERMINAL, TERMINAL_SPACED, USAGE, Usage

Write = Callable[[bytes], object]

MAX_EVENT = 256 * 1024
"""Bytes of one event that are kept together; a longer one is passed on in pieces, uncounted."""
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of a non-streamed answer that are kept to read its usage from."""

_DONE = b"data: [DONE]"
_NEVER = b"\0never\0"
"""An ending that no event has: JSON escapes control characters."""
_LESSONS = 8
"""Reads from which the ordinary ending may be learnt."""


class Body:
    """Finds the end of an engine's body, whichever of the three ways it is delimited."""

    def __init__(self, head: AnswerHead) -> None:
        self._dechunker = Dechunker() if head.chunked else None
        self._left = head.length
        self.done = self._dechunker is None and head.length == 0

    @property
    def reusable(self) -> bool:
        """Whether the connection stands exactly at the end of this body."""
        return self.done and not (self._dechunker and self._dechunker.extra)

    @property
    def between_chunks(self) -> bool:
        """Whether the next byte begins a chunk (never, when the body is not chunked)."""
        return self._dechunker is not None and self._dechunker.between_chunks

    def payload(self, data: bytes) -> bytes:
        """Return the payload in `data`; raises FramingError."""
        if self._dechunker is not None:
            data = self._dechunker.feed(data)
            self.done = self._dechunker.done
        elif self._left is not None:
            if len(data) > self._left:
                raise FramingError("the answer is longer than its content-length")
            self._left -= len(data)
            self.done = not self._left
        return data

    def ended(self) -> bool:
        """Return whether closing the connection is how this body ends."""
        if self._dechunker is None and self._left is None:
            self.done = True
        return self.done


class PlainRelay:
    """Passes on a body that is not a stream of events; reads its usage when it is JSON.

    `start` is the client's response head: it goes out with the first bytes of the body.
    """

    __slots__ = ("_chunked", "_kept", "_start", "_write", "aborted", "body", "bytes", "usage")

    def __init__(self, head: AnswerHead, write: Write, *, chunked: bool, start: bytes) -> None:
        self.body = Body(head)
        self.usage: Usage | None = None
        self.aborted = False
        self.bytes = 0
        self._write = write
        self._chunked = chunked
        self._start = start
        json = head.get(b"content-type").startswith(b"application/json")
        self._kept: list[bytes] | None = [] if json else None

    def begin(self, data: bytes) -> None:
        """Send the head, with the part of the body that came along; raises FramingError."""
        self.feed(data)
        if self._start:
            self._send(b"")

    def feed(self, data: bytes) -> None:
        """Pass `data` on; raises FramingError."""
        payload = self.body.payload(data)
        if payload:
            self._keep(payload)
            self._send(frame(payload) if self._chunked else payload)

    def finish(self) -> None:
        """End the client's body and read the usage."""
        if self._chunked:
            self._send(LAST_CHUNK)
        answer = usage.read_answer(b"".join(self._kept)) if self._kept else None
        self._kept = None
        if answer is not None:
            self.usage, self.aborted = answer.usage, answer.aborted

    def _keep(self, payload: bytes) -> None:
        if self._kept is not None:
            self._kept.append(payload)
            if self.bytes > MAX_ANSWER:
                self._kept = None

    def _send(self, out: bytes) -> None:
        self.bytes += len(out)
        self._write(self._start + out)
        self._start = b""


class EventRelay:
    """Passes on a stream of events.

    `withhold` drops the usage event that the client did not ask for; `plain` says that one answer
    was asked for, so that an event which ends in `"finish_reason":null…` is not the last. `first`
    and `last` are the times (monotonic seconds) of the first event and of the last one seen before
    the end; `events` counts them, roughly one a token; `bytes` is what was written, framing
    included. `complete` says that the engine ended the answer properly, `done_sent` that the
    client was sent `[DONE]` too: many clients close there, before the body's last bytes.
    """

    __slots__ = (
        "_chunked", "_clean", "_ending", "_held", "_learned", "_lessons", "_may_be_clean", "_rest",
        "_start", "_withhold", "_write", "aborted", "body", "bytes", "complete", "done_sent",
        "events", "first", "last", "usage",
    )  # fmt: skip

    def __init__(
        self, head: AnswerHead, write: Write, *,
        chunked: bool, start: bytes, withhold: bool, plain: bool,
    ) -> None:  # fmt: skip
        self.body = Body(head)
        self.usage: Usage | None = None
        self.aborted = False
        self.complete = False
        self.done_sent = False
        self.first: float | None = None
        self.last = 0.0
        self.events = 0
        self.bytes = 0
        self._write = write
        self._chunked = chunked
        self._start = start
        self._withhold = withhold
        self._lessons = _LESSONS if plain else 0
        self._learned = _NEVER
        self._held = b""
        self._rest = b""
        self._ending = _NEVER
        self._clean = False
        self._may_be_clean = head.chunked and chunked

    def begin(self, data: bytes) -> None:
        """Send the head, with the part of the body that came along; raises FramingError."""
        if data:
            self.feed(data)
        if self._start:
            self._send(b"")

    def feed(self, data: bytes) -> None:
        """Pass `data` on; raises FramingError."""
        if data.endswith(self._ending) and data.startswith(one_chunk_start(len(data))):
            self.events += 1
        elif (
            self._clean
            and TERMINAL not in data
            and USAGE not in data
            and TERMINAL_SPACED not in data
            and data.endswith(b"\n\n\r\n")
            and (count := whole_chunks(data))
        ):
            self.events += count
            if self._lessons:
                self._learn_ending(data)
        else:
            self._feed_exactly(data)
            return
        self.bytes += len(data)
        self._write(data)

    def finish(self) -> None:
        """Pass on what was kept back and end the client's body."""
        out = self._framed(self._take_kept())
        out += LAST_CHUNK if self._chunked else b""
        if out:
            self._write(out)

    def cut(self) -> None:
        """Pass on what was kept back: no more will come."""
        self._send(self._framed(self._take_kept()))

    def _feed_exactly(self, data: bytes) -> None:
        if not self.complete:
            self.last = monotonic()
        events = self._cut_events(self.body.payload(data))
        out = self._framed(b"".join(map(self._pass, events)))
        if out:
            self._send(out)
        self._clean = (
            self._may_be_clean
            and not (self._rest or self._held or self.complete)  # the last events are read exactly
            and self.body.between_chunks
        )
        self._ending = self._learned if self._clean else _NEVER

    def _learn_ending(self, data: bytes) -> None:
        """Remember how an ordinary read ends; few tries, for some engines' have no such end."""
        self._lessons -= 1
        ending = usage.ordinary_ending(data)
        if ending is not None:
            self._ending = self._learned = ending

    def _cut_events(self, payload: bytes) -> list[bytes]:
        """Return the whole events there are by now; a begun one stays in `_rest`."""
        text = self._rest + payload
        separator = b"\n\n" if b"\n\n" in text else b"\r\n\r\n"
        *whole, self._rest = text.split(separator)
        events = [event + separator for event in whole]
        if len(self._rest) > MAX_EVENT:
            events.append(self._rest)
            self._rest = b""
        return events

    def _pass(self, event: bytes) -> bytes:
        """Return what the client gets now because of this event."""
        if self.first is None and event.startswith(b"data:"):
            self.first = self.last
        if USAGE in event and (answer := usage.read_event(event)) and answer.usage:
            self.usage = answer.usage
            if self._withhold and answer.choices == []:
                return usage.restore_fingerprint(self._release(), event)
        if TERMINAL in event or TERMINAL_SPACED in event:
            self.complete = True
            self.aborted = self.aborted or usage.is_abort(event)
            if self._withhold and not self._held:
                self._held = event
                return b""
        if event.startswith(_DONE):
            self.done_sent = True
        else:
            self.events += 1
        return self._release() + event

    def _release(self) -> bytes:
        held, self._held = self._held, b""
        self.events += bool(held)
        return held

    def _take_kept(self) -> bytes:
        kept = self._release() + self._rest
        self._rest = b""
        self._ending, self._clean = _NEVER, False
        return kept

    def _framed(self, payload: bytes) -> bytes:
        return frame(payload) if self._chunked else payload

    def _send(self, out: bytes) -> None:
        self.bytes += len(out)
        self._write(self._start + out)
        self._start = b""
