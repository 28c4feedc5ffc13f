"""The body of an answer on its way from engine to client: passed on, counted, hardly looked at.

This is the hot path. `EventRelay.feed` recognises the common read by its two ends: it begins with
the size line that makes it exactly one chunk, and as ordinary events of this stream begin, and it
ends as they end. Such a read costs two comparisons, three slices and one write; the client gets the
engine's bytes with the engine's framing. Several whole chunks at once are looked at one by one. Any
other read (cut events, the last events of a stream, other framings) goes through exact parsers and
is framed anew: the payload is the same byte for byte.

A relay knows nothing of connections. `upstream.py` feeds it; `exchange.py` made it and asks it for
counts at the end. What an `EventRelay` passes on it notes in a `Transcript`, from which
`continuation.py` can have a broken stream continued elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic

from headrace.gateway import usage
from headrace.gateway.chunked import (
    LAST_CHUNK,
    Dechunker,
    FramingError,
    frame,
    one_chunk_start,
)
from headrace.gateway.heads import AnswerHead
from headrace.gateway.transcript import Transcript
from headrace.gateway.usage import ERROR, TERMINAL, TERMINAL_SPACED, USAGE, Usage

Write = Callable[[bytes], object]
Start = Callable[[], bytes]
"""Makes the client's response head; called when the first bytes of the body go out."""

MAX_EVENT = 4 * 1024 * 1024
"""Longest event, in bytes: one with the token ids of a long prompt must fit."""
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of a non-streamed answer that are kept to read its usage from."""

_DONE = b"data: [DONE]"
_NEVER = b"\0never\0"
"""An ending that no event has: JSON escapes control characters."""
_FIELD = re.compile(rb"(?:event|id|retry)?:")
_LESSONS = 16
"""Reads from which the ordinary shape of an event may be learnt."""


class Body:
    """Finds the end of an engine's body, whichever of the three ways it is delimited."""

    __slots__ = ("_dechunker", "_left", "done")

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


class BrokenStreamError(Exception):
    """The engine gave the answer up; the message says how, for a record and for the client."""


class PlainRelay:
    """Passes on a body that is not a stream of events.

    JSON is held until it is whole, so that an answer that turns out to be broken or aborted can
    still be asked for elsewhere; `usage` and `aborted` are read from it. Longer answers than
    `MAX_ANSWER` and other types are passed on as they come. `held` says that the client has nothing
    yet; then `finish` sends it all.
    """

    __slots__ = ("_chunked", "_kept", "_start", "_write", "aborted", "body", "bytes", "held",
                 "usage")  # fmt: skip

    def __init__(self, head: AnswerHead, write: Write, *, chunked: bool, start: Start) -> None:
        self.body = Body(head)
        self.usage: Usage | None = None
        self.aborted = False
        self.bytes = 0
        self.held = head.get(b"content-type").startswith(b"application/json")
        self._write = write
        self._chunked = chunked
        self._start: Start | None = start
        self._kept: list[bytes] = []

    def begin(self, data: bytes) -> None:
        """Take the part of the body that came with the head; raises FramingError."""
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Take more of the body; raises FramingError."""
        payload = self.body.payload(data)
        self.bytes += len(payload)
        if self.held:
            self._kept.append(payload)
            if self.bytes > MAX_ANSWER:
                self._let_go()
        elif payload:
            self._send(payload)

    def read(self) -> None:
        """Read usage and end from a whole answer that is still held."""
        answer = usage.read_answer(b"".join(self._kept)) if self.held else None
        if answer is not None:
            self.usage, self.aborted = answer.counts, answer.aborted

    def finish(self) -> None:
        """Send what is held and end the client's body."""
        self._let_go()
        self._send(b"", last=True)

    @property
    def text(self) -> str:
        """The beginning of a held body, for an error message."""
        return self.held_bytes[:2000].decode("utf-8", "replace")

    @property
    def held_bytes(self) -> bytes:
        """The body as far as it is held."""
        return b"".join(self._kept)

    def _let_go(self) -> None:
        self.held = False
        kept, self._kept = b"".join(self._kept), []
        if kept:
            self._send(kept)

    def _send(self, payload: bytes, *, last: bool = False) -> None:
        start, self._start = self._start, None
        out = (start() if start else b"") + (frame(payload) if self._chunked else payload)
        self._write(out + LAST_CHUNK if self._chunked and last else out)


class StreamRelay:
    """What every relay of a stream of events counts and can do; subclasses pass the events on.

    `withhold` drops the usage event that the client did not ask for. `first` and `last` are the
    times (monotonic seconds) of the first event and of the last one seen before the end; `events`
    counts them, roughly one a token; `bytes` is what was written, framing included. `complete` says
    that the engine ended the answer properly, `done_sent` that the client was sent `[DONE]` too:
    many clients close there, before the body's last bytes.
    """

    __slots__ = (
        "_chunked", "_rest", "_withhold", "_write", "aborted", "body", "bytes", "complete",
        "done_sent", "events", "first", "last", "transcript", "usage",
    )  # fmt: skip

    def __init__(
        self, head: AnswerHead, write: Write, transcript: Transcript, *,
        chunked: bool, withhold: bool,
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
        self.transcript = transcript
        self._write = write
        self._chunked = chunked
        self._withhold = withhold
        self._rest = b""

    def begin(self, data: bytes) -> None:
        """Take the part of the body that came with the head; raises as `feed` does."""
        if data:
            self.feed(data)

    def feed(self, data: bytes) -> None:
        """Pass `data` on; raises FramingError, and BrokenStreamError after what was good."""
        raise NotImplementedError

    def finish(self) -> None:
        """Pass on what was kept back and end the client's body."""
        raise NotImplementedError

    def _framed(self, payload: bytes) -> bytes:
        return frame(payload) if self._chunked else payload


class EventRelay(StreamRelay):
    """Passes on a stream as it comes.

    `strip` takes the token ids out that we asked for; `plain` says that one answer was asked for,
    so that an event which ends in `"finish_reason":null…` is not the last.
    """

    __slots__ = ("_clean", "_ending", "_held", "_learned", "_lessons", "_may_be_clean", "_opening",
                 "_start", "_strip", "_tail")  # fmt: skip

    def __init__(
        self, head: AnswerHead, write: Write, transcript: Transcript, *,
        chunked: bool, start: Start | None, withhold: bool, strip: bool, plain: bool,
    ) -> None:  # fmt: skip
        super().__init__(head, write, transcript, chunked=chunked, withhold=withhold)
        self._start = start
        self._strip = strip
        self._lessons = _LESSONS if plain else 0
        self._held = b""
        self._clean = False
        self._may_be_clean = head.chunked and chunked and not strip
        self._ending = self._learned = _NEVER
        self._opening = b""
        self._tail = 0

    def begin(self, data: bytes) -> None:
        """Send the head, with the part of the body that came along; raises as `feed` does."""
        super().begin(data)
        if self._start:
            self._send(b"")

    def feed(self, data: bytes) -> None:
        """Pass `data` on; raises FramingError, and BrokenStreamError after what was good."""
        opening = one_chunk_start(len(data)) + self._opening
        begin = len(opening)
        # Slices, as `startswith` and `endswith` read their arguments as slowly as any function.
        if data[self._tail :] == self._ending and data[:begin] == opening:
            self.events += 1
            self.transcript.strings += data[begin - 1 : self._tail + 1]
        elif self._clean and (count := self._recognise(data) or self._learn(data)):
            self.events += count
        else:
            self._feed_exactly(data)
            return
        self.bytes += len(data)
        self._write(data)

    def finish(self) -> None:
        """Pass on what was kept back and end the client's body."""
        out = self._framed(self._release() + (b"" if self.done_sent else b"data: [DONE]\n\n"))
        out += LAST_CHUNK if self._chunked else b""
        if out:
            self._write(out)

    def _feed_exactly(self, data: bytes) -> None:
        if not self.complete:
            self.last = monotonic()
        events, self._rest = cut_events(self._rest + self.body.payload(data))
        out: list[bytes] = []
        try:
            out.extend(map(self._pass, events))
        finally:
            payload = b"".join(out)
            if payload:
                self._send(self._framed(payload))
        self._clean = (
            self._may_be_clean
            and not (self._rest or self._held or self.complete)  # the last events are read exactly
            and self.body.between_chunks
        )
        self._ending = self._learned if self._clean else _NEVER

    def _recognise(self, data: bytes) -> int:
        """Return how many chunks a read is made of, if each is one ordinary event; else 0."""
        *parts, last = data.split(self._learned)
        if last:
            return 0
        opening, ending, strings = self._opening, len(self._learned), []
        for part in parts:
            size_line = one_chunk_start(len(part) + ending)
            if not part.startswith(size_line) or not part.startswith(opening, len(size_line)):
                return 0
            strings.append(part[len(size_line) + len(opening) - 1 :])
        self.transcript.strings += b'"'.join(strings) + b'"'
        return len(parts)

    def _learn(self, data: bytes) -> int:
        """Remember what is around the text of ordinary events; recognise `data` by it.

        Few tries, for some engines' events have no such shape.
        """
        size_line = one_chunk_start(len(data))
        if not self._lessons or not data.startswith(size_line):
            return 0
        self._lessons -= 1
        around = usage.around_text(data[len(size_line) : -2])
        if around is None:
            return 0
        self._opening, ending = around
        self._ending = self._learned = ending + b"\r\n"
        self._tail = -len(self._learned)
        if usage.REASONING.search(self._opening):
            self.transcript.give_up("it is inside reasoning")
        return self._recognise(data)

    # -- one event ----------------------------------------------------------------------------

    def _pass(self, event: bytes) -> bytes:
        """Return what the client gets now because of this event."""
        if not event.startswith(b"data:"):
            if not _FIELD.match(event):
                raise BrokenStreamError("sent something that is no event")
            return event
        if self.first is None:
            self.first = self.last
        if event.startswith(_DONE):
            if not self.complete:
                raise BrokenStreamError("ended the stream without a finish")
            self.done_sent = True
            return self._release() + event
        if ERROR in event and (words := usage.error_in(event)):
            raise BrokenStreamError(words)
        return self._pass_tokens(event)

    def _pass_tokens(self, event: bytes) -> bytes:
        if USAGE in event and (answer := usage.read_event(event)) and answer.usage:
            self.usage = answer.counts
            if self._withhold and answer.choices == []:
                return usage.restore_fingerprint(self._release(), event)
        if TERMINAL in event or TERMINAL_SPACED in event:
            if usage.is_abort(event):
                self.aborted = True
                raise BrokenStreamError("aborted the request")
            self.complete = True
            if self._withhold and not self._held:
                self._held = self._stripped(event)
                return b""
        if not self.complete:
            self.transcript.event(event)
        self.events += 1
        return self._release() + self._stripped(event)

    def _stripped(self, event: bytes) -> bytes:
        return usage.without_ids(event) if self._strip else event

    def _release(self) -> bytes:
        held, self._held = self._held, b""
        self.events += bool(held)
        return held

    def _send(self, out: bytes) -> None:
        start, self._start = self._start, None
        self.bytes += len(out)
        self._write((start() if start else b"") + out)


def cut_events(text: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole events in `text`, ends included, and the begun one after them.

    BrokenStreamError if that is longer than any event.
    """
    separator = b"\n\n" if b"\n\n" in text else b"\r\n\r\n"
    *whole, rest = text.split(separator)
    if len(rest) > MAX_EVENT:
        raise BrokenStreamError(f"sent an event of more than {MAX_EVENT} bytes")
    return [event + separator for event in whole], rest
