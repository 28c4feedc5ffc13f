"""The client must count every event and find the end, however the network cuts the bytes."""

import asyncio
from collections.abc import Iterable
from itertools import pairwise

from bench.answer import Connection, Tally
from bench.backend import Events, chunk
from bench.schedule import Kind
from hypothesis import given
from hypothesis import strategies as st

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


class Owner:
    def __init__(self) -> None:
        self.log: list[str] = []

    def freed(self, connection: Connection) -> None:
        del connection
        self.log.append("freed")

    def lost(self, connection: Connection, *, busy: bool) -> None:
        del connection
        self.log.append("lost busy" if busy else "lost free")


def ask(kind: Kind, pieces: Iterable[bytes], events: int = 4) -> tuple[Tally, Owner, Transport]:
    tally, owner, transport = Tally(), Owner(), Transport()
    connection = Connection(owner, tally, 1)
    connection.connection_made(transport)
    connection.ask(b"request", kind, events)
    for piece in pieces:
        connection.data_received(piece)
    return tally, owner, transport


def stream() -> bytes:
    events = Events(chat=True, tokens=3, with_usage=False)
    return HEAD + events.first + events.next + events.last + chunk(b"data: [DONE]") + b"0\r\n\r\n"


WHOLE = stream()


@given(st.sets(st.integers(min_value=1, max_value=len(WHOLE) - 1)))
def test_any_cut_of_a_stream_is_counted_alike(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    tally, owner, _ = ask(Kind.STREAM, (WHOLE[a:b] for a, b in pairwise(edges)))
    assert (tally.chunks, tally.done, owner.log) == (3, 1, ["freed"])
    assert len(tally.ttft) == 1
    assert not tally.errors


def test_single_bytes() -> None:
    tally, _, _ = ask(Kind.STREAM, (WHOLE[n : n + 1] for n in range(len(WHOLE))))
    assert (tally.chunks, tally.done) == (3, 1)
    assert len(tally.gaps) == 3  # two more events and [DONE]


def test_a_missing_event_is_an_error() -> None:
    tally, owner, transport = ask(Kind.STREAM, [WHOLE], events=5)
    assert tally.errors == {"wrong number of events": 1}
    assert (tally.done, owner.log, transport.aborted) == (0, ["lost busy"], True)


def test_an_error_status_is_an_error() -> None:
    tally, _, _ = ask(Kind.SMALL, [b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"])
    assert tally.errors == {"HTTP/1.1 503 Busy": 1}


def test_a_sized_answer_ends_with_its_last_byte() -> None:
    tally, owner, _ = ask(Kind.SMALL, [PLAIN + b"123", b"456"])
    assert (tally.done, owner.log) == (0, [])
    tally, owner, _ = ask(Kind.SMALL, [PLAIN + b"123", b"4567"])
    assert (tally.done, owner.log) == (1, ["freed"])


def test_a_lost_connection_fails_its_request() -> None:
    tally, owner = Tally(), Owner()
    connection = Connection(owner, tally, 1)
    connection.connection_made(Transport())
    connection.ask(b"request", Kind.STREAM, 4)
    connection.data_received(WHOLE[:200])
    connection.connection_lost(None)
    assert tally.errors == {"connection lost": 1}
    assert owner.log == ["lost busy"]
