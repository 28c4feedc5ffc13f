"""The model's name in a body is exchanged, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.request import Peek, peek, renamed

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["model", "a", "ü"]), inner),
    max_leaves=12,
)


_NAMES = st.text(min_size=1)


@given(more=st.dictionaries(st.text(), _JSON), old=_NAMES, new=_NAMES, first=st.booleans())
def test_only_the_model_changes(more: dict[str, Any], old: str, new: str, *, first: bool) -> None:
    more.pop("model", None)
    fields = {"model": old, **more} if first else {**more, "model": old}
    after = json.loads(renamed(json.dumps(fields, ensure_ascii=False).encode(), new))
    assert after == {**fields, "model": new}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","messages":[{"model":"a"}]}',
        b'{"model":"a","model":"b"}',
        b'{"x":"\\"model\\":","model":"a"}',
        b'{"mod\\u0065l":"a","x":{"model":"a"}}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"model":"a\\"b"}',
    ],
)
def test_the_engine_reads_the_new_name_however_the_old_one_is_hidden(body: bytes) -> None:
    assert json.loads(renamed(body, "new"))["model"] == "new"
    assert json.loads(renamed(body, "new")).keys() == json.loads(body).keys()
    seen = peek(renamed(body, "new"))
    assert isinstance(seen, Peek)
    assert seen.model == "new"
