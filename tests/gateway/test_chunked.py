"""Chunked framing: any split of any stream gives the same payload and the same end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.chunked import (
    Dechunker,
    FramingError,
    chunk_size,
    frame,
    one_chunk_start,
)

PAYLOADS = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


def framed(parts: list[bytes]) -> bytes:
    """By RFC 9112 section 7.1, written out apart from the code under test."""
    return b"".join(format(len(part), "x").encode() + b"\r\n" + part + b"\r\n" for part in parts)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


@given(PAYLOADS, st.lists(st.integers(0, 10**6), max_size=12), st.sampled_from([b"", b"X: y\r\n"]))
def test_any_split_gives_the_payload_and_the_end(
    parts: list[bytes], cuts: list[int], trailer: bytes
) -> None:
    data = framed(parts) + b"0\r\n" + trailer + b"\r\n"
    dechunker = Dechunker()
    pieces = split(data, cuts)
    payload = b"".join(dechunker.feed(piece) for piece in pieces[:-1])
    assert not dechunker.done
    payload += dechunker.feed(pieces[-1])
    assert payload == b"".join(parts)
    assert dechunker.done
    assert dechunker.extra == 0


@given(PAYLOADS, st.binary(min_size=1, max_size=20))
def test_bytes_after_the_end_are_counted(parts: list[bytes], more: bytes) -> None:
    dechunker = Dechunker()
    dechunker.feed(framed(parts) + b"0\r\n\r\n" + more)
    assert (dechunker.done, dechunker.extra) == (True, len(more))


@given(st.integers(1, 2**20))
def test_the_start_of_a_single_chunk(size: int) -> None:
    line = format(size, "x").encode() + b"\r\n"
    assert one_chunk_start(len(line) + size + 2) == line


@pytest.mark.parametrize("length", [0, 1, 5, 22, 263 - 1])
def test_lengths_that_no_single_chunk_has(length: int) -> None:
    """22 would be 16 bytes with a one-digit size, 262 would be 256 bytes with a two-digit one."""
    assert not framed([b"x" * max(length, 1)]).startswith(one_chunk_start(length))


@pytest.mark.parametrize("line", [b"", b"-1", b"+1", b"0x1", b" 1", b"1_0", b"g", b"1" * 9])
def test_sizes_are_strict(line: bytes) -> None:
    assert chunk_size(line) == -1
    with pytest.raises(FramingError):
        Dechunker().feed((line.strip() or b"x") + b"!\r\n")


def test_a_chunk_longer_than_its_size_is_an_error() -> None:
    with pytest.raises(FramingError):
        Dechunker().feed(b"2\r\nabc\r\n")


def test_endless_lines_are_an_error() -> None:
    dechunker = Dechunker()
    for _ in range(4):
        dechunker.feed(b"1" * 1000)
    with pytest.raises(FramingError):
        dechunker.feed(b"1" * 1000)


@given(st.binary(max_size=300))
def test_frame_is_one_chunk(payload: bytes) -> None:
    assert frame(payload) == (framed([payload]) if payload else b"")
