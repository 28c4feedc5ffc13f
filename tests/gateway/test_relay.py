"""The hot path says the same as the exact one, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from harness import DONE, token, usage_event
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.chunked import Dechunker
from headrace.gateway.heads import parse_answer
from headrace.gateway.relay import MAX_EVENT, BrokenStreamError, EventRelay
from headrace.gateway.transcript import Transcript

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
STAMP = ',"system_fingerprint":"vllm-0.32.0-0123abcd"'


class Sink:
    """What the client's connection was given."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def relay(
        self, *, chunked: bool = True, withhold: bool = True, strip: bool = False
    ) -> EventRelay:
        return EventRelay(
            parse_answer(STREAM_HEAD), self.writes.append, Transcript(),
            chunked=chunked, start=lambda: b"", withhold=withhold, strip=strip, plain=True,
        )  # fmt: skip

    def payload(self) -> bytes:
        dechunker = Dechunker()
        payload = dechunker.feed(b"".join(self.writes))
        assert dechunker.done
        assert not dechunker.extra
        return payload


def chunk(payload: bytes) -> bytes:
    return format(len(payload), "x").encode() + b"\r\n" + payload + b"\r\n"


texts = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            ['"finish_reason":"stop"', '"prompt_tokens"', "\n\n", "data: [DONE]\n\n", "}]}\n\n\r\n"]
        ),
    ),
    max_size=12,
)
cuts = st.lists(st.integers(0, 10**6), max_size=20)


@given(texts, cuts, st.booleans(), st.booleans())
def test_any_split_gives_the_client_the_same(
    said: list[str], cut: list[int], withhold: bool, by_chunk: bool
) -> None:
    events = [token(text) for text in said]
    sent = [*events, token("", "stop"), usage_event(7, 11, STAMP), DONE]
    data = b"".join(map(chunk, sent)) + b"0\r\n\r\n"
    ends = sorted({at % len(data) for at in cut} | {0, len(data)})
    pieces = [data[a:b] for a, b in pairwise(ends)]
    if by_chunk:
        pieces = [chunk(event) for event in sent] + [b"0\r\n\r\n"]
    sink = Sink()
    relay = sink.relay(withhold=withhold)
    for piece in pieces:
        relay.feed(piece)
    assert relay.body.done
    relay.finish()
    last = (
        [token("", "stop", STAMP)] if withhold else [token("", "stop"), usage_event(7, 11, STAMP)]
    )
    assert sink.payload() == b"".join([*events, *last, DONE])
    assert relay.complete
    assert not relay.aborted
    assert relay.usage is not None
    assert (relay.usage.prompt_tokens, relay.usage.completion_tokens) == (7, 11)
    told = relay.transcript.read()
    assert (told.pieces, told.obstacle) == (said, "")
    assert not said or told.identity["id"] == "chatcmpl-1"


def test_ordinary_reads_pass_as_the_very_same_bytes() -> None:
    sink = Sink()
    relay = sink.relay()
    role = b'data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":null}]}\n\n'
    reads = [chunk(role), *(chunk(token(text)) for text in "abcdef")]
    for read in reads:
        relay.feed(read)
    assert all(written is read for written, read in zip(sink.writes[2:], reads[2:], strict=True))
    assert relay.events == 7
    relay.feed(reads[1] + reads[2])
    assert sink.writes[-1] == reads[1] + reads[2]
    assert relay.events == 9


def test_the_ordinary_ending_is_never_taken_for_a_terminal_event() -> None:
    sink = Sink()
    relay = sink.relay(withhold=False)
    for read in (chunk(token("a")), chunk(token("b")), chunk(token("c"))):
        relay.feed(read)
    assert not relay.complete
    with pytest.raises(BrokenStreamError, match="aborted"):
        relay.feed(chunk(token("d", "abort")))
    assert relay.aborted
    assert not relay.complete
    assert sink.writes[-1] == chunk(token("c"))


def test_events_that_end_in_crlf_pass() -> None:
    sink = Sink()
    relay = sink.relay()
    events = [token("a"), token("b", "stop"), usage_event(1, 2), DONE]
    for event in events:
        relay.feed(chunk(event.replace(b"\n", b"\r\n")))
    relay.feed(b"0\r\n\r\n")
    relay.finish()
    assert sink.payload() == b"".join([token("a"), token("b", "stop"), DONE]).replace(
        b"\n", b"\r\n"
    )


def test_an_endless_event_breaks_the_stream() -> None:
    relay = Sink().relay()
    half = chunk(b"data: " + b"x" * (MAX_EVENT // 2))
    relay.feed(half)
    with pytest.raises(BrokenStreamError, match="more than"):
        relay.feed(half)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"EngineCore encountered an issue","code":500}}\n\n',
        b'data: {"object":"error","message":"EngineCore encountered an issue","code":500}\n\n',
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_what_came_before_an_error_is_passed_on_and_the_error_is_not(
    event: bytes, together: bool
) -> None:
    sink = Sink()
    relay = sink.relay()
    good = [chunk(token(text)) for text in "abc"]
    for read in good:
        relay.feed(read)
    last = chunk(event) + chunk(DONE)
    if not together:
        relay.feed(good[0])
    with pytest.raises(BrokenStreamError, match="EngineCore encountered"):
        relay.feed(good[0] + last if together else last)
    assert Dechunker().feed(b"".join(sink.writes)) == b"".join(map(token, "abca"))
    assert relay.transcript.read().pieces == list("abca")


def test_done_without_a_finish_is_a_break() -> None:
    sink = Sink()
    relay = sink.relay()
    relay.feed(chunk(token("a")))
    with pytest.raises(BrokenStreamError, match="without a finish"):
        relay.feed(chunk(DONE))
    assert b"DONE" not in b"".join(sink.writes)


def test_ids_that_only_we_asked_for_are_noted_and_taken_out() -> None:
    sink = Sink()
    relay = sink.relay(strip=True)
    first = token("a").replace(b'"token_ids":null', b'"prompt_token_ids":[1,2],"token_ids":[3]')
    second = token("bc").replace(b'"token_ids":null', b'"token_ids":[4, 5]')
    for event in (first, second):
        relay.feed(chunk(event))
    told = relay.transcript.read()
    assert (told.prompt_ids, told.ids, told.ends) == ([1, 2], [3, 4, 5], [1, 3])
    shown = token("a").replace(b'"token_ids":null', b'"prompt_token_ids":null,"token_ids":null')
    assert Dechunker().feed(b"".join(sink.writes)) == shown + token("bc")


def test_an_engine_that_stamps_every_event_is_not_stamped_twice() -> None:
    sink = Sink()
    relay = sink.relay()
    for event in (
        token("a", None, STAMP),
        token("", "stop", STAMP),
        usage_event(1, 1, STAMP),
        DONE,
    ):
        relay.feed(chunk(event))
    relay.feed(b"0\r\n\r\n")
    relay.finish()
    assert sink.payload() == token("a", None, STAMP) + token("", "stop", STAMP) + DONE
