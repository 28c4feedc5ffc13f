"""The twin answers in the shapes of vLLM 0.32.0, field by field, against recorded answers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from engine_twin_kit import Twin, events, open_twin

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded_0_32_0.json").read_text())
WHOLE = [
    *("completion", "completion_n", "completion_ids", "completion_batch", "chat", "chat_ids"),
    *("completion_logprobs", "chat_logprobs", "completion_echo", "completion_stop"),
]
STREAMS = [
    *("completion_stream", "completion_stream_usage", "completion_stream_ids"),
    *("chat_stream", "chat_stream_usage", "chat_stream_ids", "completion_stream_usage_cont"),
]
ERRORS = [
    "error_model",
    "error_max_tokens",
    "error_no_prompt",
    "stream_error_model",
    "error_long",
    "chat_stream_n",
    "error_no_messages",
]


@pytest.fixture
async def twin() -> AsyncIterator[Twin]:
    async with open_twin(names=("smollm2", "smollm2-135m")) as opened:
        yield opened


def shape(value: Any) -> Any:
    """Keys in their order and kinds of values; lists by their first element."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__


def plain(value: Any) -> Any:
    """The same without top logprobs, whose keys are tokens."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "top_logprobs"}
    return [plain(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_answers(twin: Twin, name: str) -> None:
    real = RECORDED[name]
    answer = await twin.ask(real["path"], **real["request"])
    assert answer.status_code == real["status"]
    assert shape(plain(answer.json())) == shape(plain(real["body"]))
    assert len(answer.json()["choices"]) == len(real["body"]["choices"])


@pytest.mark.parametrize("name", STREAMS)
async def test_streams_event_by_event(twin: Twin, name: str) -> None:
    real = RECORDED[name]
    answer = await twin.ask(real["path"], **real["request"])
    assert answer.headers["content-type"] == real["headers"]["content-type"]
    expected = events(real["body"])
    assert [shape(event) for event in events(answer.text)] == [shape(event) for event in expected]


@pytest.mark.parametrize("name", ["completion_stream_n"])
async def test_streams_of_two_choices_have_the_same_events_in_some_order(
    twin: Twin, name: str
) -> None:
    real = RECORDED[name]
    answer = await twin.ask(real["path"], **real["request"])
    kinds = [[str(shape(e)) for e in events(text)] for text in (answer.text, real["body"])]
    assert sorted(kinds[0]) == sorted(kinds[1])


@pytest.mark.parametrize("name", ERRORS)
async def test_errors(twin: Twin, name: str) -> None:
    real = RECORDED[name]
    request = dict(real["request"])
    if name == "error_long":
        request["prompt"] = "a b " * 2000
    answer = await twin.ask(real["path"], **request)
    assert answer.status_code == real["status"]
    body = real["body"] if isinstance(real["body"], dict) else json.loads(real["body"])
    assert shape(answer.json()) == shape(body)
    assert answer.json()["error"]["type"] == body["error"]["type"]
    assert answer.json()["error"]["param"] == body["error"]["param"]


async def test_models_health_version_and_unknown_paths(twin: Twin) -> None:
    client = twin.client
    models = await client.get("/v1/models")
    assert shape(models.json()) == shape(RECORDED["get_v1_models"]["body"])
    assert [m["id"] for m in models.json()["data"]] == ["smollm2", "smollm2-135m"]
    assert (await client.get("/health")).content == b""
    assert (await client.get("/version")).json() == RECORDED["get_version"]["body"]
    assert (await client.get("/load")).json() == RECORDED["get_load"]["body"]
    assert (await client.get("/nope")).json() == RECORDED["error_404"]["body"]
    assert (await client.get("/v1/completions")).json() == json.loads(RECORDED["error_405"]["body"])
    # A model that generates has no embeddings, in vLLM and here.
    assert (await twin.ask("/v1/embeddings")).status_code == 404


async def test_known_prompt_is_answered_as_by_the_real_model(twin: Twin) -> None:
    real = RECORDED["completion"]
    answer = await twin.json(real["path"], **real["request"])
    choice, wanted = answer["choices"][0], real["body"]["choices"][0]
    assert choice["text"] == wanted["text"] == " 7, 8,"
    assert choice["finish_reason"] == wanted["finish_reason"] == "length"
    assert answer["usage"] == real["body"]["usage"]


@pytest.mark.parametrize("name", ["completion_stop", "completion_echo"])
async def test_stop_and_echo_as_by_the_real_model(twin: Twin, name: str) -> None:
    real = RECORDED[name]
    answer = await twin.json(real["path"], **real["request"])
    choice, wanted = answer["choices"][0], real["body"]["choices"][0]
    assert {key: choice[key] for key in ("text", "finish_reason", "stop_reason")} == {
        key: wanted[key] for key in ("text", "finish_reason", "stop_reason")
    }
    assert answer["usage"] == real["body"]["usage"]


@pytest.mark.parametrize("name", ["tokenize", "detokenize"])
async def test_tokenize(twin: Twin, name: str) -> None:
    real = RECORDED[name]
    request = dict(real["request"])
    if "tokens" in request:
        request["tokens"] = (await twin.json("/tokenize", prompt="1, 2,"))["tokens"]
    body = await twin.json(real["path"], **request)
    assert shape(body) == shape(real["body"])


@pytest.mark.parametrize("body", [b"{bad", b"[]", b"", b'{"prompt": "\xff"}', b"[" * 100_000])
async def test_bad_json_is_a_400(twin: Twin, body: bytes) -> None:
    kind = {"content-type": "application/json"}
    answer = await twin.client.post("/v1/completions", content=body, headers=kind)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]["message"] or body == b"[]"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": "x", "stream_options": 7},
        {"prompt": "x", "stop": 7},
        {"prompt": "x", "stop": [7]},
        {"prompt": "x", "max_tokens": "many"},
        {"prompt": "x", "max_tokens": -1},
        {"prompt": "x", "n": 0},
        {"prompt": "x", "logprobs": "yes"},
        {"prompt": "x", "min_tokens": []},
        {"prompt": 7},
        {"prompt": [-1]},
        {"prompt": [[7], None]},
        {"prompt": [10**20]},
    ],
)
async def test_wrong_types_are_a_400(twin: Twin, wrong: dict[str, Any]) -> None:
    answer = await twin.ask("/v1/completions", **wrong)
    assert answer.status_code == 400
    assert (await twin.client.get("/health")).status_code == 200


async def test_only_json_is_taken(twin: Twin) -> None:
    answer = await twin.client.post("/v1/completions", content=b'{"prompt": "x"}')
    assert answer.status_code == RECORDED["error_nocontenttype"]["status"]
    assert answer.json() == json.loads(RECORDED["error_nocontenttype"]["body"])


async def test_embeddings_where_the_twin_embeds() -> None:
    async with open_twin(embeds=True) as twin:
        answer = await twin.json("/v1/embeddings", model="twin", input=["a", "b"])
        assert [item["index"] for item in answer["data"]] == [0, 1]
        assert (await twin.ask("/v1/completions", prompt="x")).status_code == 404
