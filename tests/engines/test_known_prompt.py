"""The known prompt and its verdicts."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engines.known_prompt import DEFAULT, judge, probe_request, silent
from headrace.fleet.types import KnownPrompt

RECORDED = Path(__file__).parents[1] / "emulation" / "recorded_0_32_0.json"


def completion(text: Any) -> Any:
    return {"choices": [{"index": 0, "text": text}]}


def test_request_is_greedy_and_short() -> None:
    path, body = probe_request(None, "smollm2")
    assert path == "/v1/completions"
    assert body["prompt"] == "1, 2, 3, 4, 5, 6,"
    assert body["temperature"] == 0
    assert body["model"] == "smollm2"
    assert len(DEFAULT.answer) <= body["max_tokens"] <= 16


def test_real_answer_is_right() -> None:
    """Recorded from vLLM 0.32.0 with SmolLM2-135M-Instruct."""
    recorded = json.loads(RECORDED.read_text())
    assert judge(None, recorded["completion"]["body"]) is None


@pytest.mark.parametrize("garbage", ["!!!!!!", "", " 77", " 8,", None, "\ufffd\ufffd"])
def test_wrong_answer_is_shown_with_the_expected_one(garbage: Any) -> None:
    sentence = judge(None, completion(garbage))
    assert sentence is not None
    assert repr(" 7,") in sentence
    assert repr(garbage) in sentence


def test_nothing_is_told_from_something_wrong() -> None:
    assert silent(completion(""))
    assert not any(map(silent, (completion("!"), completion(None), {"choices": []}, None)))


def test_declared_prompt_counts() -> None:
    known = KnownPrompt(prompt="Paris is the capital of", answer=" France")
    assert judge(known, completion(" France.")) is None
    assert judge(known, completion(" 7,")) is not None


@pytest.mark.parametrize("broken", [{}, [], None, {"choices": []}, {"error": {"message": "x"}}])
def test_no_completion_at_all(broken: Any) -> None:
    sentence = judge(None, broken)
    assert sentence is not None
    assert "no completion" in sentence


def test_embeddings_are_judged_by_being_numbers() -> None:
    path, body = probe_request(None, "m", embeds=True)
    assert path == "/v1/embeddings"
    assert body == {"model": "m", "input": "1, 2, 3, 4, 5, 6,"}
    assert judge(None, {"data": [{"embedding": [0.1, -0.2]}]}, embeds=True) is None
    for bad in ([], [0.0, 0.0], [float("nan")], [float("inf"), 1.0]):
        assert judge(None, {"data": [{"embedding": bad}]}, embeds=True) is not None
    assert judge(None, completion(" 7,"), embeds=True) is not None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
def test_anything_gets_a_verdict(response: Any) -> None:
    assert judge(None, response)
    assert judge(None, response, embeds=True)
    assert not silent(response)
