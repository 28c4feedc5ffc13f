"""What an engine says of tokens is read, and what it does not say is a sentence."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from headrace.bench.target import Target
from headrace.experiments.errors import ExperimentError
from headrace.experiments.replies import Asker, Likely, Reply

WHERE = Target(address="http://engine.test/v1", model="m")


def asker(
    choice: Any, *, status: int = 200, together: int = 2
) -> tuple[Asker, list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(status, json={"choices": [choice]})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Asker(http, WHERE, together), asked


LIKELY = [
    None,
    {"8": {"logprob": -1.5, "rank": 3}},
    {"9": {"logprob": -0.25, "rank": 1}},
]


async def test_a_reply_has_text_and_ids_and_was_asked_greedily() -> None:
    one, asked = asker({"text": " b", "token_ids": [8, 9], "prompt_token_ids": [7]})
    assert await one.replies(["a"], 5) == [Reply(" b", (8, 9), (7,))]
    (body,) = asked
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0, 5, "m")


async def test_a_texts_first_token_has_no_likelihood() -> None:
    one, _ = asker({"text": "", "prompt_token_ids": [7, 8, 9], "prompt_logprobs": LIKELY})
    (found,) = await one.likely(["a b c"])
    assert found == Likely(tokens=2, nats=1.75, first=1)
    assert found.mean == 0.875


async def test_of_an_answer_only_its_own_tokens_count() -> None:
    one, asked = asker({"text": "", "prompt_token_ids": [7, 8, 9], "prompt_logprobs": LIKELY})
    found = await one.likely_answers([Reply("c", (9,), (7, 8))])
    assert found == [Likely(tokens=1, nats=0.25, first=1)]
    assert asked[0]["prompt"] == [7, 8, 9]


@pytest.mark.parametrize(
    ("choice", "status", "words"),
    [
        ({"text": "x"}, 200, "does not tell token ids"),
        ({}, 503, "no usable answer"),
        ({"prompt_token_ids": [7, 8], "prompt_logprobs": [None]}, 200, "tells no likelihoods"),
        ({"prompt_token_ids": [7, 8], "prompt_logprobs": None}, 200, "tells no likelihoods"),
        (
            {"prompt_token_ids": [7, 8], "prompt_logprobs": [None, {"9": {}}]},
            200,
            "tells no likelihoods",
        ),
    ],
)
async def test_an_engine_that_does_not_tell_is_a_sentence(
    choice: dict[str, Any], status: int, words: str
) -> None:
    one, _ = asker(choice, status=status)
    with pytest.raises(ExperimentError, match=words):
        await one.likely(["a b"])
