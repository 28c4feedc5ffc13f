"""A twin that misbehaves on command, and one that schedules like an engine."""

import asyncio
from typing import Any

import pytest
from engine_twin_kit import COUNT, Twin, events, open_twin, said, samples, streamed, text_of

from headrace.emulation.behaviour import Faults, change
from headrace.engines.known_prompt import judge, probe_request
from headrace.engines.metrics import read_metrics
from headrace.engines.vllm_metrics import metric_sources


async def stream(client: Twin, **fields: Any) -> str:
    answer = await client.post("/v1/completions", json={**COUNT, "stream": True, **fields})
    return answer.text


async def until(client: Twin, name: str, value: float) -> None:
    """Wait until a metric has a value."""
    async with asyncio.timeout(60):
        while True:
            page = (await client.get("/metrics")).text
            sample = read_metrics(page, metric_sources("0.32.0"))[name]
            if sample is not None and sample.value == value:
                return


async def test_wrong_answers_fail_the_known_prompt() -> None:
    async with open_twin() as client:
        path, body = probe_request(None, "twin")
        assert judge(None, (await client.post(path, json=body)).json()) is None
        await client.faults(wrong=True)
        sentence = judge(None, (await client.post(path, json=body)).json())
        assert sentence is not None
        assert "!!!!" in sentence


async def test_health_and_failures_on_command() -> None:
    async with open_twin() as client:
        shown = await client.post("/emulate", json={"sick": True, "fail": True})
        assert shown.json()["sick"] is True
        assert (await client.get("/health")).status_code == 503
        assert (await client.post("/v1/completions", json=COUNT)).status_code == 500
        await client.faults(sick=False)
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/emulate")).json()["fail"] is True


async def test_a_misspelt_fault_is_refused_and_changes_nothing() -> None:
    async with open_twin() as client:
        answer = await client.post("/emulate", json={"sick": True, "wrnog": True})
        assert answer.status_code == 400
        assert (await client.get("/health")).status_code == 200


def test_change_replaces_only_what_is_named() -> None:
    faults = change(Faults(hang_after=3), b'{"wrong": true}')
    assert faults == Faults(hang_after=3, wrong=True)
    assert change(faults, b'{"hang_after": null}') == Faults(wrong=True)


async def test_error_in_the_stream() -> None:
    async with open_twin(faults=Faults(error_after=2)) as client:
        found = await streamed(client)
        assert [event["choices"][0]["text"] for event in found[:2]] == [" ", "4"]
        assert found[2]["error"]["code"] == 500
        whole = await client.post("/v1/completions", json=COUNT)
        assert whole.status_code == 500


async def test_abort_in_the_stream_still_says_done() -> None:
    async with open_twin(faults=Faults(abort_after=2)) as client:
        found = await streamed(client)
        assert found[2]["choices"][0]["finish_reason"] == "abort"
        page = samples((await client.get("/metrics")).text)
        labels = 'engine="0",finished_reason="abort",model_name="twin"'
        assert page[f"vllm:request_success_total{{{labels}}}"] == 1.0


async def test_garbage_between_events() -> None:
    async with open_twin(faults=Faults(garbage_after=1)) as client:
        answer = await client.post("/v1/completions", json={**COUNT, "stream": True})
        assert b"\xff\x00" in answer.content
        assert answer.content.endswith(b"data: [DONE]\n\n")


async def test_death_after_some_tokens() -> None:
    died: list[int] = []
    async with open_twin(exit_=died.append, faults=Faults(die_after=3)) as client:
        await stream(client)
    assert died == [137]


async def test_a_dead_worker_ends_every_stream_and_then_the_process() -> None:
    ended = asyncio.Event()
    died: list[int] = []

    def exit_(status: int) -> None:
        died.append(status)
        ended.set()

    async with open_twin(exit_=exit_, faults=Faults(hang_after=2)) as client:
        streams = [asyncio.create_task(stream(client)) for _ in range(2)]
        await until(client, "generation_tokens", 4)
        await client.faults(crash=True, crash_exit=0.2)
        for answer in await asyncio.gather(*streams):
            last = events(answer)[-1]["error"]
            assert last["message"].startswith("EngineCore encountered an issue")
            assert last["code"] == 500
        assert (await client.get("/health")).status_code == 503
        assert (await client.post("/v1/completions", json=COUNT)).status_code == 500
        await asyncio.wait_for(ended.wait(), 60)
    assert died == [1]


async def test_more_than_the_slots_wait_inside() -> None:
    async with open_twin(slots=2, faults=Faults(hang_after=1)) as client:
        requests = [asyncio.create_task(stream(client)) for _ in range(5)]
        await until(client, "running", 2)
        await until(client, "waiting", 3)
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await until(client, "waiting", 0)
        await until(client, "running", 0)


async def test_draining_gives_new_requests_an_empty_abort() -> None:
    async with open_twin() as client:
        client.face.engine.draining = True
        choice = await said(client)
        assert (choice["text"], choice["finish_reason"]) == ("", "abort")
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("manner", ["abort", "error"])
async def test_cut_streams_end_in_the_chosen_manner(manner: Any) -> None:
    async with open_twin(faults=Faults(hang_after=1)) as client:
        request = asyncio.create_task(stream(client))
        await until(client, "generation_tokens", 1)
        client.face.engine.cut(manner)
        last = events(await request)[-1]
        found = "error" if "error" in last else last["choices"][0]["finish_reason"]
        assert found == manner


async def test_a_race_has_the_outcomes_that_were_measured() -> None:
    async with open_twin(slots=50, faults=Faults(hang_after=1)) as client:
        requests = [asyncio.create_task(stream(client)) for _ in range(40)]
        await until(client, "generation_tokens", 40)
        client.face.engine.cut("race")
        await until(client, "running", client.face.engine.books.running)
        client.server.stop_accepting()
        await asyncio.sleep(0)
        hung = client.face.engine.books.running
        ended = client.face.engine.books.finished
        assert hung + ended["abort"] + ended["error"] == 40
        assert min(hung, ended["abort"], ended["error"]) > 0
        await client.server.close()
        await asyncio.gather(*requests, return_exceptions=True)


async def test_continuing_elsewhere_from_ids_gives_the_same_answer() -> None:
    async with open_twin() as first, open_twin() as second:
        ask = {"prompt": "Tell me about rivers", "return_token_ids": True}
        whole = await said(first, **ask, max_tokens=60)
        for split in range(1, 59, 7):  # inside characters of several tokens, too
            begun = whole["prompt_token_ids"] + whole["token_ids"][:split]
            tail = await said(second, **ask | {"prompt": begun}, max_tokens=60 - split)
            assert tail["token_ids"] == whole["token_ids"][split:]


async def test_partial_characters_are_empty_text_with_ids() -> None:
    async with open_twin() as client:
        ask = {"prompt": "Tell me about rivers", "max_tokens": 200, "return_token_ids": True}
        found = await streamed(client, **ask)
        assert text_of(found) == (await said(client, **ask))["text"]
        empty = [e["choices"][0] for e in found if e["choices"][0]["text"] == ""]
        assert empty
        assert all(len(choice["token_ids"]) == 1 for choice in empty)


async def test_metrics_have_every_canonical_name() -> None:
    async with open_twin() as client:
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
