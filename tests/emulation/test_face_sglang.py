"""SGLang's face: a health that generates, its queue, token ids, and metrics that must be asked for."""

import asyncio
from typing import Any

import pytest
from engine_twin_kit import CHAT, COUNT, Twin, names, open_twin, parsed, said, streamed, text_of

from headrace.emulation.behaviour import Faults

GENERATE: dict[str, Any] = {"text": "1, 2, 3,", "sampling_params": {"max_new_tokens": 3}}


async def test_health_runs_a_token() -> None:
    async with open_twin("sglang", probe=0.0) as client:
        for path in ("/health", "/health_generate"):
            assert (await client.get(path)).status_code == 200
        assert client.face.engine.books.generation_tokens == 2
        assert (await client.get("/ready")).status_code == 200
        await client.faults(sick=True)
        assert (await client.get("/health")).status_code == 503


async def test_no_metrics_unless_asked_for() -> None:
    async with open_twin("sglang") as client:
        assert (await client.get("/metrics")).status_code == 404
    async with open_twin("sglang", enable_metrics=True) as client:
        await said(client)
        assert names((await client.get("/metrics")).text) >= {
            *("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"),
            *("sglang:time_to_first_token_seconds", "sglang:inter_token_latency_seconds"),
            *("sglang:e2e_request_latency_seconds", "sglang:num_requests_total"),
            *("sglang:num_aborted_requests_total", "sglang:prompt_tokens_total"),
            *("sglang:generation_tokens_total", "sglang:cache_hit_rate"),
            *("sglang:queue_time_seconds", "sglang:num_retracted_reqs"),
        }


@pytest.mark.parametrize(
    ("version", "there", "gone"),
    [
        (
            "0.4.0",
            {"sglang:time_per_output_token_seconds"},
            {"sglang:inter_token_latency_seconds", "sglang:queue_time_seconds"},
        ),
        (
            "0.4.9",
            {"sglang:inter_token_latency_seconds"},
            {"sglang:time_per_output_token_seconds", "sglang:queue_time_seconds"},
        ),
        (
            "0.5.23",
            {"sglang:inter_token_latency_seconds", "sglang:num_retracted_requests_total"},
            {"sglang:time_per_output_token_seconds"},
        ),
    ],
)
async def test_metric_names_of_a_version(version: str, there: set[str], gone: set[str]) -> None:
    async with open_twin("sglang", version=version, enable_metrics=True) as client:
        found = names((await client.get("/metrics")).text)
        assert there <= found
        assert not gone & found


async def test_a_continuation_from_ids_is_exact() -> None:
    async with open_twin("sglang") as client:
        ask = {"prompt": "Tell me about rivers", "return_token_ids": True}
        whole = await said(client, **ask, max_tokens=20)
        begun = whole["prompt_token_ids"] + whole["token_ids"][:7]
        rest = await said(client, **ask | {"prompt": begun}, max_tokens=13)
        assert rest["token_ids"] == whole["token_ids"][7:]


async def test_a_partial_assistant_message_is_continued() -> None:
    messages = [*CHAT["messages"], {"role": "assistant", "content": "1, 2,"}]
    ask = {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}
    async with open_twin("sglang") as client:
        answer = await client.json("/v1/chat/completions", **ask, max_tokens=3)
        assert answer["choices"][0]["message"]["content"] == " 3,"


async def test_a_chats_end_is_an_event_of_its_own() -> None:
    async with open_twin("sglang") as client:
        found = await streamed(client, "/v1/chat/completions", **CHAT)
        assert [e["choices"][0]["finish_reason"] for e in found[-2:]] == [None, "length"]
        assert found[-1]["choices"][0]["delta"]["content"] in (None, "")


async def test_generate_streams_all_text_again_and_again() -> None:
    async with open_twin("sglang") as client:
        whole = await client.json("/generate", **GENERATE)
        assert whole["text"] == " 4,"
        assert whole["meta_info"]["finish_reason"] == {"type": "length", "length": 3}
        answer = await client.ask("/generate", **GENERATE, stream=True)
        *parts, done = [part for part in answer.text.split("\n\n") if part]
        assert done == "data: [DONE]"
        assert [parsed(part)["text"] for part in parts] == [" ", " 4", " 4,"]
        ids = await client.json("/generate", input_ids=[49, 44, 32, 50, 44], stream=False)
        assert ids["text"].startswith(" 3, 4,")


async def test_beyond_the_queue_it_is_full() -> None:
    limits: dict[str, Any] = {"slots": 1, "max_queued_requests": 1}
    async with open_twin("sglang", **limits, faults=Faults(hang_after=1)) as client:
        begun = [asyncio.create_task(client.ask("/v1/completions", **COUNT)) for _ in range(2)]
        await _unfinished(client, 2)
        answer = await client.ask("/v1/completions", **COUNT)
        assert answer.status_code == 503
        assert answer.json()["message"] == "The request queue is full."
        (event,) = await streamed(client)
        assert event["error"]["message"] == "The request queue is full."
        for request in begun:
            request.cancel()
        await asyncio.gather(*begun, return_exceptions=True)


async def test_text_is_the_same_as_from_other_engines() -> None:
    async with open_twin("sglang") as client, open_twin("vllm") as other:
        assert text_of(await streamed(client)) == text_of(await streamed(other))


async def _unfinished(client: Twin, count: int) -> None:
    async with asyncio.timeout(5):
        while client.face.engine.books.unfinished < count:
            await client.get("/ready")
