"""HTTP/1.1 chunked framing, at two speeds.

`one_chunk_start` recognises in one step what an engine sends nearly always: one event in one chunk.
Such bytes go to the client as they are. Everything else goes through `Dechunker`, which is exact
and strict, and is framed anew. `relay.py` chooses between them.
"""

from __future__ import annotations

import re
from functools import lru_cache

LAST_CHUNK = b"0\r\n\r\n"
MAX_LINE = 4096
"""Longest chunk-size or trailer line accepted, in bytes."""

_PLAIN_LINE = 10
"""Bytes of a size line of at most eight digits."""
_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")


class FramingError(ValueError):
    """The peer broke the rules of chunked framing; nothing after this point can be trusted."""


@lru_cache(maxsize=4096)
def chunk_size(line: bytes) -> int:
    """Return the size that a bare chunk-size line gives, -1 when it is anything else."""
    return int(line, 16) if _SIZE.fullmatch(line) else -1


@lru_cache(maxsize=4096)
def one_chunk_start(length: int) -> bytes:
    """Return the size line with which `length` bytes, if they end in CRLF, are exactly one chunk.

    The line is written as engines write it: lower case, no padding. Where no such line fits
    (a length at which the line itself would grow) the answer matches nothing.
    """
    for digits in range(1, 9):
        size = length - digits - 4
        line = b"%x\r\n" % max(size, 0)
        if size > 0 and len(line) == digits + 2:
            return line
    return b"\0"


def frame(payload: bytes) -> bytes:
    """Return the payload as one chunk, nothing for an empty one."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def _take_whole(data: bytes, parts: list[bytes]) -> int:
    """Append the payloads of the chunks that `data` begins with and has whole; return their end.

    Only plain ones: what is unusual in any way, or the last, is left to the exact reader.
    """
    position = 0
    while (line_end := data.find(b"\r\n", position, position + _PLAIN_LINE)) > 0:
        begin = line_end + 2
        end = begin + chunk_size(data[position:line_end])
        if end <= begin or not data.startswith(b"\r\n", end):
            break
        parts.append(data[begin:end])
        position = end + 2
    return position


class Dechunker:
    """Takes a chunked body in any pieces and gives its payload.

    `done` is true after the last chunk and its trailers (which are dropped); `extra` then counts
    the bytes that came after the end.
    """

    def __init__(self) -> None:
        self.done = False
        self.extra = 0
        self._partial = b""
        self._left = 0
        # A function, not a method of this object: that would be a cycle for each stream.
        self._line = Dechunker._size_line

    @property
    def between_chunks(self) -> bool:
        """Whether the next byte begins a chunk."""
        return not self._left and not self._partial and self._line is Dechunker._size_line

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`; raises FramingError."""
        parts: list[bytes] = []
        position = _take_whole(data, parts) if self.between_chunks else 0
        data, self._partial = self._partial + data, b""
        while position < len(data) and not self.done:
            if self._left:
                part = data[position : position + self._left]
                parts.append(part)
                position += len(part)
                self._left -= len(part)
            else:
                position = self._read_line(data, position)
        self.extra += len(data) - position
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_line(self, data: bytes, position: int) -> int:
        line_end = data.find(b"\r\n", position)
        length = (line_end if line_end >= 0 else len(data)) - position
        if length > MAX_LINE:
            raise FramingError("a line of chunked framing is too long")
        if line_end < 0:
            self._partial = data[position:]
            return len(data)
        self._line(self, data[position:line_end])
        return line_end + 2

    def _size_line(self, line: bytes) -> None:
        size = chunk_size(line.partition(b";")[0].strip(b" \t"))
        if size < 0:
            raise FramingError("a chunk size is not a hexadecimal number")
        self._left = size
        self._line = Dechunker._end_line if size else Dechunker._trailer_line

    def _end_line(self, line: bytes) -> None:
        if line:
            raise FramingError("a chunk is longer than its size says")
        self._line = Dechunker._size_line

    def _trailer_line(self, line: bytes) -> None:
        self.done = not line
