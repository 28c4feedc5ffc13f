"""The twin answers in the shapes of vLLM 0.32.0, field by field, against recorded answers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.emulation import Behaviour, twin_app

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded_0_32_0.json").read_text())
WHOLE = ["completion", "completion_n", "completion_ids", "completion_batch", "chat", "chat_ids"]
STREAMS = [
    *("completion_stream", "completion_stream_usage", "completion_stream_ids"),
    *("chat_stream", "chat_stream_usage", "chat_stream_ids"),
]
ERRORS = ["error_model", "error_max_tokens", "error_no_prompt", "stream_error_model"]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = twin_app(Behaviour(names=("smollm2", "smollm2-135m")))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://twin") as opened:
        yield opened


def shape(value: Any) -> Any:
    """Keys in their order and kinds of values; lists by their first element."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("name", WHOLE)
async def test_whole_answers(client: httpx.AsyncClient, name: str) -> None:
    real = RECORDED[name]
    answer = await client.post(real["path"], json=real["request"])
    assert answer.status_code == real["status"]
    assert shape(answer.json()) == shape(real["body"])
    assert len(answer.json()["choices"]) == len(real["body"]["choices"])


@pytest.mark.parametrize("name", STREAMS)
async def test_streams_event_by_event(client: httpx.AsyncClient, name: str) -> None:
    real = RECORDED[name]
    answer = await client.post(real["path"], json=real["request"])
    assert answer.headers["content-type"] == real["headers"]["content-type"]
    expected = events(real["body"])
    assert [shape(event) for event in events(answer.text)] == [shape(event) for event in expected]


@pytest.mark.parametrize("name", ERRORS)
async def test_errors(client: httpx.AsyncClient, name: str) -> None:
    real = RECORDED[name]
    answer = await client.post(real["path"], json=real["request"])
    assert answer.status_code == real["status"]
    body = real["body"] if isinstance(real["body"], dict) else json.loads(real["body"])
    assert shape(answer.json()) == shape(body)
    assert answer.json()["error"]["type"] == body["error"]["type"]


async def test_models_health_version_and_unknown_paths(client: httpx.AsyncClient) -> None:
    models = await client.get("/v1/models")
    assert shape(models.json()) == shape(RECORDED["get_v1_models"]["body"])
    assert [m["id"] for m in models.json()["data"]] == ["smollm2", "smollm2-135m"]
    assert (await client.get("/health")).content == b""
    assert (await client.get("/version")).json() == RECORDED["get_version"]["body"]
    assert (await client.get("/nope")).json() == RECORDED["error_404"]["body"]
    # A model that generates has no embeddings, in vLLM and here.
    assert (await client.post("/v1/embeddings", json={})).status_code == 404


async def test_known_prompt_is_answered_as_by_the_real_model(client: httpx.AsyncClient) -> None:
    real = RECORDED["completion"]
    answer = await client.post(real["path"], json=real["request"])
    choice, wanted = answer.json()["choices"][0], real["body"]["choices"][0]
    assert choice["text"] == wanted["text"] == " 7, 8,"
    assert choice["finish_reason"] == wanted["finish_reason"] == "length"
    assert answer.json()["usage"] == real["body"]["usage"]


async def test_bad_json_is_a_400(client: httpx.AsyncClient) -> None:
    for body in (b"{bad", b"[]", b""):
        answer = await client.post("/v1/completions", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == 400


async def test_embeddings_where_the_twin_embeds() -> None:
    transport = httpx.ASGITransport(twin_app(Behaviour(embeds=True)))
    async with httpx.AsyncClient(transport=transport, base_url="http://twin") as client:
        answer = await client.post("/v1/embeddings", json={"model": "twin", "input": ["a", "b"]})
        assert [item["index"] for item in answer.json()["data"]] == [0, 1]
        assert (await client.post("/v1/completions", json={"prompt": "x"})).status_code == 404
