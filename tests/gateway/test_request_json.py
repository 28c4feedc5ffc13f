"""Bodies that are JSON, nearly JSON, or a trap for whoever reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.gateway.errors import Failure
from headrace.gateway.request import MAX_MODEL, Peek, peek


def deep(opening: str, closing: str, levels: int) -> bytes:
    return f'{{"model":"m","x":{opening * levels}1{closing * levels}}}'.encode()


BAD = {
    "lists, 100k deep": deep("[", "]", 100_000),
    "objects, 100k deep": deep('{"a":', "}", 100_000),
    "deep where it is looked at": b'{"model":"m","prompt":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "deep and unclosed": b'{"model":"m","x":' + b"[" * 100_000,
    "a byte order mark": b"\xef\xbb\xbf" + b'{"model":"m"}',
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "UTF-16 without mark": '{"model":"m"}'.encode("utf-16-le"),
    "a stray byte in the prompt": b'{"model":"m","messages":"\xff"}',
    "a stray byte in a key": b'{"model":"m","\xff":1}',
    "a cut character": b'{"model":"m","x":"\xc3',
    "an overlong character": b'{"model":"m","x":"\xc0\xaf"}',
    "an encoded surrogate": b'{"model":"m","x":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"model":"m","x":"\\ud800"}',
    "a lone low surrogate": b'{"model":"m","x":"\\udc00 "}',
    "a raw NUL": b'{"model":"m","x":"\0"}',
    "a raw line feed": b'{"model":"m","x":"\n"}',
    "NaN": b'{"model":"m","temperature":NaN}',
    "Infinity": b'{"model":"m","temperature":-Infinity}',
    "a comment": b'{"model":"m"/**/}',
    "a comma too many": b'{"model":"m",}',
    "single quotes": b"{'model':'m'}",
    "two values": b'{"model":"m"}{"model":"n"}',
    "a NUL after": b'{"model":"m"}\0',
    "stream as text": b'{"model":"m","stream":"yes"}',
    "stream as number": b'{"model":"m","stream":1}',
    "model as number": b'{"model":5}',
    "model as list": b'{"model":["m"]}',
    "model as null": b'{"model":null}',
    "model empty": b'{"model":""}',
    "model too long": b'{"model":"%b"}' % (b"m" * (MAX_MODEL + 1)),
    "a list": b'[{"model":"m"}]',
    "nothing": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies_are_refused_in_few_words(name: str) -> None:
    refused = peek(BAD[name])
    assert isinstance(refused, Failure)
    assert (refused.status, refused.kind) == (400, "bad_request")
    assert len(refused.message) < 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a","model":"b"}', Peek("b", stream=False, usage_asked=False, one_answer=True)),
        (b'{"model":"a","\\u006dodel":"b"}', Peek("b", False, False, True)),
        (b'{"model":"m","stream":true,"stream":false}', Peek("m", False, False, True)),
        (b'{"model":"m","stream":false,"stream":true}', Peek("m", True, False, True)),
        (b'{"model":"m","stream":true,"stream":null}', Peek("m", False, False, True)),
        (b'{"model":"m","n":1,"n":2}', Peek("m", False, False, False)),
        (b'{"model":"m","n":2,"n":1}', Peek("m", False, False, True)),
        (b'{"Model":"x","model":"m","STREAM":true}', Peek("m", False, False, True)),
        (b'{"model":"m","n":{}}', Peek("m", False, False, False)),
        (b'{"model":"m","n":1e999}', Peek("m", False, False, False)),
        (b'{"model":"m","x":%b}' % (b"9" * 100_000), Peek("m", False, False, True)),
        (b'{"model":"m\\u0000"}', Peek("m\0", False, False, True)),
        (b' \t\r\n{"model" : "m"}\n', Peek("m", False, False, True)),
        ('{"model":"m","x":"😀é"}'.encode(), Peek("m", False, False, True)),
        (b'{"model":"m","x":"\\ud83d\\ude00"}', Peek("m", False, False, True)),
        (deep("[", "]", 300), Peek("m", False, False, True)),
    ],
)
def test_of_two_keys_the_last_counts_as_it_does_for_engines(body: bytes, expected: Peek) -> None:
    assert peek(body) == expected
    if b"9" * 5000 not in body:  # Python refuses such numbers: so does the engine, with a 400
        seen = json.loads(body)
        assert (seen["model"], bool(seen.get("stream"))) == (expected.model, expected.stream)


def written(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in pairs) + "}"


FIELDS = st.sampled_from(
    ["model", "stream", "n", "stream_options", "prompt", "x", "é", "mode\\u006c"]
)
SCALARS = st.sampled_from(
    ["null", "true", "false", "1", "-0.5e3", '"m"', '""', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\n"']
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]")
        | st.lists(st.tuples(FIELDS, inner), max_size=3).map(written)
    ),
    max_leaves=6,
)


@given(pairs=st.lists(st.tuples(FIELDS, VALUES), max_size=8), cut=st.integers(-2, 60))
@settings(max_examples=500, deadline=None)
def test_what_is_accepted_means_the_same_to_python(pairs: list[tuple[str, str]], cut: int) -> None:
    text = written(pairs).encode()
    body = text if cut < 0 else text[:cut]
    seen = peek(body)
    if isinstance(seen, Failure):
        assert seen.status == 400
        return
    other: dict[str, Any] = json.loads(body)
    assert other["model"] == seen.model
    assert bool(other.get("stream")) is seen.stream
    assert seen.usage_asked == ("stream_options" in other)
    if seen.one_answer:
        assert other.get("n") in (None, 1)
        assert not isinstance(other.get("prompt"), list) or not any(
            isinstance(part, (str, list, dict)) for part in other["prompt"][:1]
        )


@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused_in_peace(body: bytes) -> None:
    seen = peek(body)
    assert isinstance(seen, (Failure, Peek))
