"""An engine may send anything: the relays answer with their own errors and nothing else."""

from __future__ import annotations

import json
from typing import Any

from harness import DONE, token, usage_event
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.chunked import Dechunker, FramingError
from headrace.gateway.continuation import CHAT, COMPLETIONS, Resumption, resume
from headrace.gateway.continued import ContinuedRelay
from headrace.gateway.control import Resume
from headrace.gateway.heads import parse_answer
from headrace.gateway.relay import BrokenStreamError, EventRelay, PlainRelay
from headrace.gateway.transcript import Transcript

HEADS = [
    parse_answer(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n" % (kind, framing))
    for kind in (b"text/event-stream", b"application/json")
    for framing in (b"transfer-encoding: chunked", b"content-length: 300")
]
ORIGINAL = json.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}], "prompt": "?"})

json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
names = st.sampled_from(
    ["id", "choices", "delta", "content", "text", "role", "finish_reason", "usage", "index", "error",
     "token_ids", "prompt_token_ids", "completion_tokens", "prompt_tokens", "object", "created"]
)  # fmt: skip
shaped = st.recursive(json_values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=4), max_leaves=8)  # fmt: skip
events = st.one_of(
    shaped.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    st.sampled_from([token("a"), token("", "stop"), token("b", "abort"), usage_event(1, 2), DONE]),
    st.binary(max_size=30).map(lambda raw: raw + b"\n\n"),
    st.binary(max_size=30).map(lambda raw: b"data: " + raw + b"\n\n"),
    st.just(b"data: " + b"[" * 5000 + b"\n\n"),
)


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def told(*texts: str) -> Transcript:
    transcript = Transcript()
    for text in texts:
        transcript.event(token(text))
    transcript.read()
    return transcript


@given(
    st.lists(events, max_size=8), st.booleans(), st.booleans(), st.sampled_from(["event", "rest"])
)
def test_events_of_any_shape(sent: list[bytes], usage: bool, strip: bool, kind: str) -> None:
    got: list[bytes] = []
    transcript = Transcript() if kind == "event" else told("x", "\n")
    relay: Any = (
        EventRelay(HEADS[0], got.append, transcript, chunked=True, start=None, withhold=usage, strip=strip, plain=True)
        if kind == "event"
        else ContinuedRelay(HEADS[0], got.append, Resumption(CHAT, b"", 1, "\n", rewrap=strip), transcript, chunked=True, withhold=usage, ids=False)
    )  # fmt: skip
    try:
        for event in sent:
            relay.feed(chunk(event))
    except (BrokenStreamError, FramingError):
        assert relay.done_sent or DONE not in b"".join(got)
    dechunker = Dechunker()
    dechunker.feed(b"".join(got))
    assert dechunker.between_chunks
    for path in (CHAT, COMPLETIONS):
        rest = resume(path, ORIGINAL.encode(), transcript.read(), Resume(context=100))
        assert isinstance(rest, (str, Resumption))


@given(st.binary(max_size=400), st.sampled_from(HEADS), st.booleans())
def test_bodies_of_any_bytes(data: bytes, head: Any, streams: bool) -> None:
    got: list[bytes] = []
    relay: Any = (
        EventRelay(head, got.append, Transcript(), chunked=True, start=None, withhold=True, strip=False, plain=True)
        if streams
        else PlainRelay(head, got.append, chunked=True, start=lambda: b"")
    )  # fmt: skip
    try:
        relay.feed(data)
    except (BrokenStreamError, FramingError):
        return
    if not streams:
        relay.read()
        relay.finish()
