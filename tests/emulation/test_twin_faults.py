"""A twin that misbehaves on command, and one that schedules like an engine; all in memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from headrace.emulation import Behaviour, Faults, twin_app
from headrace.emulation.behaviour import change
from headrace.emulation.engine import TwinEngine
from headrace.engines.known_prompt import judge, probe_request
from headrace.engines.metrics import read_metrics
from headrace.engines.vllm_metrics import metric_sources

COUNT = {"prompt": "1, 2, 3,", "max_tokens": 6}


@asynccontextmanager
async def twin(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://twin") as client:
        yield client


async def stream(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/v1/completions", json={**COUNT, "stream": True, **fields})
    return answer.text


async def until(client: httpx.AsyncClient, name: str, value: float) -> None:
    """Wait until a metric has a value."""
    async with asyncio.timeout(5):
        while True:
            page = (await client.get("/metrics")).text
            sample = read_metrics(page, metric_sources("0.32.0"))[name]
            if sample is not None and sample.value == value:
                return
            await asyncio.sleep(0)


async def test_wrong_answers_fail_the_known_prompt() -> None:
    async with twin(twin_app()) as client:
        path, body = probe_request(None, "twin")
        assert judge(None, (await client.post(path, json=body)).json()) is None
        await client.post("/emulate", json={"wrong": True})
        sentence = judge(None, (await client.post(path, json=body)).json())
        assert sentence is not None
        assert "!!!!" in sentence


async def test_health_and_failures_on_command() -> None:
    async with twin(twin_app()) as client:
        shown = await client.post("/emulate", json={"sick": True, "fail": True})
        assert shown.json()["sick"] is True
        assert (await client.get("/health")).status_code == 503
        assert (await client.post("/v1/completions", json=COUNT)).status_code == 500
        await client.post("/emulate", json={"sick": False})
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/emulate")).json()["fail"] is True


async def test_a_misspelt_fault_is_refused_and_changes_nothing() -> None:
    async with twin(twin_app()) as client:
        answer = await client.post("/emulate", json={"sick": True, "wrnog": True})
        assert answer.status_code == 400
        assert (await client.get("/health")).status_code == 200


def test_change_replaces_only_what_is_named() -> None:
    faults = change(Faults(hang_after=3), b'{"wrong": true}')
    assert faults == Faults(hang_after=3, wrong=True)
    assert change(faults, b'{"hang_after": null}') == Faults(wrong=True)


async def test_error_in_the_stream() -> None:
    async with twin(twin_app(Behaviour(faults=Faults(error_after=2)))) as client:
        parts = (await stream(client)).split("\n\n")
        assert [json.loads(p[6:])["choices"][0]["text"] for p in parts[:2]] == [" ", "4"]
        assert json.loads(parts[2][6:])["error"]["code"] == 500
        assert parts[3] == "data: [DONE]"
        whole = await client.post("/v1/completions", json=COUNT)
        assert whole.status_code == 500


async def test_abort_in_the_stream_still_says_done() -> None:
    async with twin(twin_app(Behaviour(faults=Faults(abort_after=2)))) as client:
        parts = (await stream(client)).split("\n\n")
        assert json.loads(parts[2][6:])["choices"][0]["finish_reason"] == "abort"
        assert parts[3] == "data: [DONE]"
        await until(client, "success", 0.0)


async def test_garbage_between_events() -> None:
    app = twin_app(Behaviour(faults=Faults(garbage_after=1)))
    async with twin(app) as client:
        answer = await client.post("/v1/completions", json={**COUNT, "stream": True})
        assert b"\xff\x00" in answer.content
        assert answer.content.endswith(b"data: [DONE]\n\n")


async def test_death_after_some_tokens() -> None:
    died: list[int] = []
    behaviour = Behaviour(faults=Faults(die_after=3))
    async with twin(twin_app(behaviour, TwinEngine(behaviour, died.append))) as client:
        await stream(client)
    assert died == [137]


async def test_more_than_the_slots_wait_inside() -> None:
    app = twin_app(Behaviour(slots=2, faults=Faults(hang_after=1)))
    async with twin(app) as client:
        requests = [asyncio.create_task(stream(client)) for _ in range(5)]
        await until(client, "running", 2)
        await until(client, "waiting", 3)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)


async def test_a_client_that_leaves_stops_the_work() -> None:
    engine = TwinEngine(Behaviour(slots=1))
    engine.faults = Faults(hang_after=1)
    steps = engine.run([ord("a")], 5, ignore_eos=True)
    assert (await anext(steps)).token is not None
    assert not engine.idle.is_set()
    await steps.aclose()
    assert engine.idle.is_set()
    page = engine.metrics.text().decode()
    assert 'finished_reason="abort",model_name="twin"} 1.0' in page


async def test_draining_gives_new_requests_an_empty_abort() -> None:
    behaviour = Behaviour(shutdown_timeout=5)
    engine = TwinEngine(behaviour)
    engine.draining = True
    async with twin(twin_app(behaviour, engine)) as client:
        answer = await client.post("/v1/completions", json=COUNT)
        assert answer.status_code == 200
        choice = answer.json()["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == ("", "abort")
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(("cut", "finish"), [("abort", "abort"), ("error", "error")])
async def test_cut_streams_end_in_the_chosen_manner(cut: Any, finish: str) -> None:
    engine = TwinEngine(Behaviour(cut=cut))
    steps = engine.run([ord("a")], 5, ignore_eos=True)
    await anext(steps)
    engine.cut()
    assert (await anext(steps)).finish == finish
    await steps.aclose()


async def test_continuing_elsewhere_from_ids_gives_the_same_answer() -> None:
    async with twin(twin_app()) as first, twin(twin_app()) as second:
        ask = {"prompt": "Tell me about rivers", "max_tokens": 30, "return_token_ids": True}
        whole = (await first.post("/v1/completions", json=ask)).json()["choices"][0]
        begun = whole["prompt_token_ids"] + whole["token_ids"][:10]
        rest = {"prompt": begun, "max_tokens": 20, "return_token_ids": True}
        tail = (await second.post("/v1/completions", json=rest)).json()["choices"][0]
        assert tail["token_ids"] == whole["token_ids"][10:]


async def test_metrics_have_every_canonical_name() -> None:
    async with twin(twin_app()) as client:
        await stream(client)
        page = (await client.get("/metrics")).text
        found = read_metrics(page, metric_sources("0.32.0"))
        assert [name for name, sample in found.items() if sample is None] == []
        assert found["generation_tokens"] is not None
        assert found["generation_tokens"].value == 6
        assert found["itl"] is not None
        assert found["itl"].count == 5
        assert found["tpot"] is not None
        assert found["tpot"].count == 1
