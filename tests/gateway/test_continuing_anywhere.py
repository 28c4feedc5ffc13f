"""Wherever and however often a stream breaks, the client's text and counts are those of an unbroken one."""

from __future__ import annotations

import json
from typing import Any

from harness import DONE, token, usage_event
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.chunked import Dechunker
from headrace.gateway.continuation import CHAT, Resumption, resume
from headrace.gateway.continued import ContinuedRelay
from headrace.gateway.control import Resume
from headrace.gateway.heads import parse_answer
from headrace.gateway.relay import EventRelay
from headrace.gateway.transcript import Transcript

HEAD = parse_answer(
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
PROMPT = [{"role": "user", "content": "?"}]
PROMPT_TOKENS = 7
ROLE = token("").replace(b'{"content":""}', b'{"role":"assistant","content":""}')

words = st.sampled_from(
    ["one", " two", "é", " 🌍", '"', "\\", " \u2028", "x", "{}", "data: [DONE]"]
)
spaces = st.sampled_from([" ", "\n", "\n\n", "\t"])
# A character of several tokens: all but the last have no text.
split = st.sampled_from([("", "語"), ("", "", "🌊")])
said = st.lists(st.one_of(words.map(lambda w: (w,)), spaces.map(lambda s: (s,)), split), min_size=1, max_size=25)  # fmt: skip
breaks = st.lists(st.integers(0, 12), max_size=4)


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class Deterministic:
    """An engine that says the same tokens to everybody who is as far as they are."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def answer(self, body: dict[str, Any]) -> tuple[list[str], int, bool]:
        """The tokens that follow, how many prompt tokens there were, and whether all were wanted."""
        last = body["messages"][-1]
        given = last["content"] if body.get("continue_final_message") else ""
        at = self._position(given)
        rest = self.tokens[at:]
        limit = body.get("max_tokens", 10**6)
        return rest[:limit], PROMPT_TOKENS + at, limit >= len(rest)

    def _position(self, given: str) -> int:
        """The first token that is not in the text given; no test text is cut inside a token."""
        for at in range(len(self.tokens) + 1):
            if "".join(self.tokens[:at]) == given:
                return at
        raise AssertionError(f"{given!r} is no beginning of {self.tokens}")


def events(tokens: list[str], prompt: int, *, finish: str) -> list[bytes]:
    body = [token(text, finish if n + 1 == len(tokens) else None) for n, text in enumerate(tokens)]
    return [ROLE, *body, usage_event(prompt, len(tokens)), DONE]


def tell(
    tokens: list[str], broken_after: list[int], *, usage: bool, limit: int | None
) -> list[Any]:
    """Run a stream with its breaks; return the events the client gets."""
    engine, transcript, sent = Deterministic(tokens), Transcript(), []
    body: dict[str, Any] = {"model": "m", "stream": True, "messages": PROMPT}
    if limit:
        body["max_tokens"] = limit
    original, rest = json.dumps(body).encode(), None
    for cut in [*broken_after, None]:
        relay = _relay(sent, transcript, rest, usage=usage)
        following, prompt, whole = engine.answer(json.loads(rest.body) if rest else body)
        stream = events(following, prompt, finish="stop" if whole else "length")
        for event in stream[: None if cut is None else min(cut, len(stream) - 3)]:
            relay.feed(chunk(event))
        if cut is None:
            relay.finish()
            break
        if not transcript.empty:
            told = transcript.read()
            rest = resume(CHAT, original, told, Resume(token_ids=False))
            assert isinstance(rest, Resumption), rest
            transcript.rewind(told)
    dechunker = Dechunker()
    payload = dechunker.feed(b"".join(sent))
    assert payload.endswith(DONE)
    return [json.loads(event[5:]) for event in payload.split(b"\n\n")[:-2]]


def _relay(sent: list[bytes], told: Transcript, rest: Resumption | None, *, usage: bool) -> Any:
    if told.empty or rest is None:
        return EventRelay(HEAD, sent.append, told, chunked=True, start=None, withhold=not usage, strip=False, plain=True)  # fmt: skip
    return ContinuedRelay(HEAD, sent.append, rest, told, chunked=True, withhold=not usage, ids=False)  # fmt: skip


@given(said, breaks, st.booleans(), st.booleans())
def test_nothing_is_lost_or_doubled(
    groups: list[tuple[str, ...]], broken_after: list[int], usage: bool, limited: bool
) -> None:
    tokens = [text for group in groups for text in group]
    limit = len(tokens) if limited else None
    got = tell(tokens, broken_after, usage=usage, limit=limit)
    choices = [event["choices"][0] for event in got if event["choices"]]
    deltas = [choice["delta"] for choice in choices]
    assert "".join(delta["content"] for delta in deltas) == "".join(tokens)
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert sum("role" in delta for delta in deltas) == 1
    assert {event["id"] for event in got} == {"chatcmpl-1"}
    if usage:
        counts = got[-1]["usage"]
        assert (counts["prompt_tokens"], counts["completion_tokens"]) == (
            PROMPT_TOKENS,
            len(tokens),
        )
