"""Inputs from hypothesis (JSON bodies) and schemathesis (the API's own description)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from bench.fuzz.inputs import PATHS, Input, post

_BATCH = 2000  # examples of one run of hypothesis: it slows down as it remembers

_TEXT = st.text(max_size=12) | st.sampled_from(["m", "m-alias", "\0", "\ud800", "é" * 300])
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8, alphabet="abm\0é"), inner, max_size=4)
    ),
    max_leaves=12,
)
_FIELDS = ("model", "stream", "stream_options", "n", "prompt", "messages", "max_tokens", "user")
_PAIRS = st.lists(st.tuples(st.sampled_from(_FIELDS), _VALUE), max_size=6)
_SPECIAL = st.sampled_from(
    (
        "null", "1e999", "-0", "9" * 5000, "1" + "0" * 400, "NaN", "[" * 2000 + "]" * 2000,
        '{"a":' * 1500 + "1" + "}" * 1500, '"\\ud800"', '"\\u0000"', "true false", "'m'", "",
    )
)  # fmt: skip


def _object(pairs: Sequence[tuple[str, Any]], special: str | None) -> bytes:
    """Write JSON with keys that may be doubled, a good model most times, and one odd value."""
    parts = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs]
    if special is not None:
        parts.append(f'"x":{special}')
    return ("{" + ",".join([*parts, '"model":"m"']) + "}").encode("utf-8", "replace")


BODIES = st.builds(_object, _PAIRS, st.none() | _SPECIAL) | st.binary(max_size=60)


def json_inputs(count: int, number: int, key: str) -> list[Input]:
    """Return `count` requests whose bodies hypothesis draws."""
    bodies = _draw(BODIES, count, number)
    return [
        Input("json", post(body, key, PATHS[index % 3]), complete=True)
        for index, body in enumerate(bodies)
    ]


def api_inputs(description: dict[str, Any], count: int, number: int, key: str) -> list[Input]:
    """Return up to `count` requests that schemathesis draws from the description, good and bad."""
    schema = schemathesis.openapi.from_dict(description)
    strategies = [
        found.ok().as_strategy(generation_mode=mode)
        for found in schema.get_all_operations()
        if isinstance(found, Ok)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    share = count // 6  # the three operations with a body, good and bad, make nearly all
    cases = [case for one in strategies for case in _draw(one, share, number)]
    return [Input("api", _wire(case, key), complete=True) for case in cases[:count]]


def _wire(case: schemathesis.Case[Any], key: str) -> bytes:
    made = requests.Request(**case.as_transport_kwargs(base_url="http://gateway")).prepare()
    headers = {"Host": "gateway", **made.headers, "Authorization": f"Bearer {key}"}
    lines = "".join(f"{name}: {value!s}\r\n" for name, value in headers.items())
    body = made.body.encode() if isinstance(made.body, str) else made.body
    head = f"{made.method} {made.path_url} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
    return head + (body if isinstance(body, bytes) else b"")


def _draw(strategy: st.SearchStrategy[Any], count: int, number: int) -> list[Any]:
    found: list[Any] = []
    while len(found) < count:
        before = len(found)
        _one_batch(strategy, min(_BATCH, count - before), number + before, found.append)
        if len(found) == before:
            break  # there are no more (an operation without parameters has one)
    return found


def _one_batch(
    strategy: st.SearchStrategy[Any], count: int, number: int, take: Callable[[Any], None]
) -> None:
    @seed(number)
    @settings(
        max_examples=count, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def draw(value: Any) -> None:
        take(value)

    try:
        draw()
    except HypothesisException:
        return  # nothing to draw: this operation cannot be called wrongly
