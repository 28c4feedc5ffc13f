"""An answer reads the same however its bytes are cut, and its times are those of the bytes."""

from __future__ import annotations

import itertools
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_kit import DONE, HEAD, Call, answers, ask, serving, token, usage

from headrace.bench.answers import Failure
from headrace.bench.exchange import Exchange
from headrace.bench.load import Load
from headrace.bench.reply import Reply
from headrace.bench.reply_judge import judge

EVENTS = (
    b": waiting for a replica\n\n",
    token("Grüße"),
    b"event: message\nid: 7\n" + token(" 水"),
    token("車"),
    token("", "stop"),
    usage(5, 4),
    DONE,
)
BYTES = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    + HEAD
    + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in EVENTS)
)
WHOLE = BYTES + b"0\r\n\r\n"


def read(pieces: list[tuple[float, bytes]]) -> Reply:
    reply = Reply(keep_text=True)
    for at, data in pieces:
        reply.feed(at, data)
    return reply


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=40))
def test_any_cut_of_the_bytes_reads_the_same(cuts: list[int]) -> None:
    ends = sorted({*cuts, len(WHOLE)})
    pieces = [(float(end), WHOLE[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]
    reply = read(pieces)
    assert judge(reply, None) == (None, "")
    assert "".join(reply.text or ()) == "Grüße 水車"
    assert (reply.events, len(reply.gaps), reply.finish, reply.keep_alive) == (3, 3, "stop", True)
    # Each token's time is that of the piece in which its event ended.
    ends_of = [
        WHOLE.index(event) + len(event) for event in (EVENTS[1], EVENTS[2], EVENTS[3], EVENTS[4])
    ]
    times = [min(float(end) for end in ends if end >= of) for of in ends_of]
    assert reply.first == times[0]
    assert reply.last == times[3]
    assert reply.gaps == [later - before for before, later in itertools.pairwise(times)]


@given(st.binary(max_size=300), st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)))
def test_no_bytes_make_it_fall_over(junk: bytes, begin: int, end: int) -> None:
    reply = read([(1.0, WHOLE[:begin]), (2.0, junk), (3.0, WHOLE[end:])])
    failure, detail = judge(reply, None)
    assert failure is None or isinstance(failure, Failure)
    assert len(detail) <= 300
    assert detail.isprintable()


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\n\r\n", b""])
def test_line_ends_of_any_kind_and_a_last_event_without_one(ending: bytes) -> None:
    body = b"".join(one.replace(b"\n\n", ending or b"\n\n") for one in EVENTS[:-1])
    body += b"data: [DONE]" + ending
    head = HEAD.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(body))
    reply = read([(1.0, head + body)])
    assert judge(reply, None) == (None, "")
    assert reply.events == 3


def test_where_nothing_tells_the_length_the_connections_end_does() -> None:
    head = HEAD.replace(b"transfer-encoding: chunked\r\n", b"connection: close\r\n")
    reply = read([(1.0, head + b"".join(EVENTS))])
    assert not reply.over
    reply.end_of_file()
    assert judge(reply, None) == (None, "")
    assert not reply.keep_alive


def test_events_in_one_read_share_its_time() -> None:
    head = HEAD.replace(b"transfer-encoding: chunked", b"content-length: 999999")
    reply = read([(1.0, head), (2.0, token("a") + token("b")), (5.0, token("c"))])
    assert (reply.first, reply.last, reply.gaps) == (2.0, 5.0, [0.0, 3.0])


def test_an_empty_event_before_the_first_text_is_no_token() -> None:
    head = HEAD.replace(b"transfer-encoding: chunked", b"content-length: 999999")
    reply = read([(1.0, head), (2.0, token("")), (3.0, token("a")), (4.0, token("b"))])
    assert (reply.first, reply.gaps) == (3.0, [1.0])


async def test_reading_one_stream_does_not_make_another_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All answers' bytes lie in their sockets; what the first one's reading takes must not show."""
    read_plainly = Reply.feed
    clock = [began := monotonic()]

    def slowly(reply: Reply, at: float, data: bytes) -> None:
        read_plainly(reply, at, data)
        clock[0] += 0.05

    monkeypatch.setattr(Reply, "feed", slowly)
    monkeypatch.setattr("headrace.bench.connection.monotonic", lambda: clock[0])
    waiting: list[Call] = []

    async def together(call: Call) -> None:
        waiting.append(call)
        if len(waiting) == 4:
            for one in waiting:  # in one turn of the loop, so all four are readable together
                one._writer.write(b"".join((HEAD, *chunks())))

    async with serving(together) as (address, _):
        found = await answers(
            address, [ask(number) for number in range(4)], Load(concurrency=4, patience=15.0)
        )
    assert all(answer.failure is None for answer in found)
    assert clock[0] > began + 0.19, "four readings took 0.2 s"
    assert len({answer.first for answer in found}) == 1


def chunks() -> list[bytes]:
    events = (token("a"), token("b", "length"), usage(3, 2), DONE)
    return [*(b"%x\r\n%b\r\n" % (len(one), one) for one in events), b"0\r\n\r\n"]


@pytest.mark.parametrize("early", [False, True])
def test_what_the_gateway_says_of_waits_in_its_head_or_in_a_comment(early: bool) -> None:
    waits = (
        b"x-headrace-replica: chat-2\r\nx-headrace-held-ms: 5200\r\nx-headrace-queued-ms: 30\r\n"
    )
    comments = (
        b": waiting for a replica\n\n",
        b": served by chat-2 after held 5200 ms, queued 30 ms\n\n",
    )
    head = HEAD.replace(b"transfer-encoding: chunked", b"content-length: 999999")
    if not early:
        head = head.replace(b"content-length", waits + b"content-length")
    reply = read(
        [(1.0, head), *((2.0, one) for one in (comments if early else ())), (3.0, token("a"))]
    )
    exchange = Exchange(
        ask(), 0.0, b"", keep_text=False, ended=lambda *_: None, again=lambda _: None
    )
    exchange.reply = reply
    answer = exchange.answer(0.0, warmup=False, keep_text=False)
    assert (answer.replica, answer.held, answer.queued) == ("chat-2", 5.2, 0.03)
    assert answer.first == 3.0
