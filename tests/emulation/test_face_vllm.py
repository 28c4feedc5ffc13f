"""vLLM's face where versions differ, and what a recorded answer of 0.32.0 does not show."""

import asyncio
import json
import re
from typing import Any

import pytest
from engine_twin_kit import CHAT, names, open_twin, said, streamed, text_of

from headrace.emulation.behaviour import Faults

CHATS = "/v1/chat/completions"


async def test_token_ids_came_with_0_10_2() -> None:
    async with open_twin(version="0.10.1") as client:
        assert "token_ids" not in await said(client, return_token_ids=True)
        (first, *_) = await streamed(client, return_token_ids=True)
        assert "token_ids" not in first["choices"][0]
    async with open_twin(version="0.10.2") as client:
        choice = await said(client, return_token_ids=True)
        assert len(choice["token_ids"]) == 6
        assert len(choice["prompt_token_ids"]) == len("1, 2, 3,")


@pytest.mark.parametrize(("version", "status"), [("0.10.2", 500), ("0.33.0", 503)])
async def test_a_dead_engine_is_500_up_to_0_10_2(version: str, status: int) -> None:
    async with open_twin(version=version, faults=Faults(sick=True)) as client:
        assert (await client.get("/health")).status_code == status


@pytest.mark.parametrize(
    ("version", "there", "gone"),
    [
        (
            "0.10.2",
            {"vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"},
            {"vllm:request_time_per_output_token_seconds"},
        ),
        (
            "0.12.0",
            {"vllm:kv_cache_usage_perc", "vllm:request_time_per_output_token_seconds"},
            {"vllm:time_per_output_token_seconds", "vllm:gpu_prefix_cache_hits_total"},
        ),
        (
            "0.11.2",
            {"vllm:kv_cache_usage_perc", "vllm:time_per_output_token_seconds"},
            {"vllm:gpu_cache_usage_perc", "vllm:admission_rejections_total"},
        ),
        (
            "0.32.0",
            {"vllm:request_queue_time_seconds", "vllm:admission_rejections_total"},
            {"vllm:gpu_prefix_cache_hits_total"},
        ),
        (
            "0.33.0",
            {"vllm:inter_token_latency_seconds", "vllm:prefix_cache_hits_total"},
            {"vllm:time_per_output_token_seconds", "vllm:gpu_cache_usage_perc"},
        ),
    ],
)
async def test_metric_names_of_a_version(version: str, there: set[str], gone: set[str]) -> None:
    async with open_twin(version=version) as client:
        found = names((await client.get("/metrics")).text)
        assert there <= found
        assert not gone & found


@pytest.mark.parametrize(("version", "labels"), [("0.6.5", ""), ("0.10.2", 'engine="0",')])
async def test_series_have_the_label_engine_since_v1(version: str, labels: str) -> None:
    async with open_twin(version=version) as client:
        page = (await client.get("/metrics")).text
        assert f'vllm:num_requests_running{{{labels}model_name="twin"}} 0' in page


async def test_beyond_the_queue_it_is_503() -> None:
    limits: dict[str, Any] = {"slots": 1, "max_num_queued_reqs": 1, "version": "0.33.0"}
    async with open_twin(**limits, faults=Faults(hang_after=1)) as client:
        begun = [asyncio.create_task(client.ask("/v1/completions", prompt="a")) for _ in range(2)]
        async with asyncio.timeout(5):
            while client.face.engine.books.unfinished < 2:
                await client.get("/health")
        for stream in (False, True):
            answer = await client.ask("/v1/completions", prompt="a", stream=stream)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, 503)
        page = (await client.get("/metrics")).text
        (line,) = re.findall(r"vllm:admission_rejections_total{.*", page)
        assert line.endswith(" 2.0")
        for request in begun:
            request.cancel()
        await asyncio.gather(*begun, return_exceptions=True)


@pytest.mark.parametrize("split", [1, 4, 9])
async def test_a_partial_assistant_message_is_continued_exactly(split: int) -> None:
    """At the end of any token, as a proxy would have it from a broken stream."""
    async with open_twin() as client:
        whole = await client.json(CHATS, **CHAT | {"max_tokens": 12})
        message = whole["choices"][0]["message"]["content"]
        found = await streamed(client, CHATS, **CHAT | {"max_tokens": 12})
        begun = {"role": "assistant", "content": text_of(found[: split + 1])}
        assert message.startswith(begun["content"])
        rest = await client.json(
            CHATS,
            messages=[*CHAT["messages"], begun],
            continue_final_message=True,
            add_generation_prompt=False,
            max_tokens=30,
        )
        assert (begun["content"] + rest["choices"][0]["message"]["content"]).startswith(message)


async def test_a_template_that_trims_loses_the_space_at_the_end() -> None:
    """Llama 3's strips each message, so the text that follows is no continuation."""
    messages = [*CHAT["messages"], {"role": "assistant", "content": "1, 2, "}]
    ask = {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}
    async with open_twin() as client:
        plain = await client.json(CHATS, **ask, max_tokens=2)
        assert plain["choices"][0]["message"]["content"] == "3,"
        await client.faults(trims=True)
        trimmed = await client.json(CHATS, **ask, max_tokens=3)
        assert trimmed["choices"][0]["message"]["content"] == " 3,"


async def test_a_continued_message_with_a_generation_prompt_is_refused() -> None:
    async with open_twin() as client:
        for extra in ({}, {"add_generation_prompt": True}):
            answer = await client.ask(CHATS, **CHAT, continue_final_message=True, **extra)
            assert answer.status_code == 400
            assert "continue_final_message" in answer.json()["error"]["message"]


async def test_a_forced_tool_is_called_in_pieces() -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    choice = {"type": "function", "function": {"name": "look"}}
    ask: dict[str, Any] = {"messages": CHAT["messages"], "tools": [tool], "tool_choice": choice}
    async with open_twin() as client:
        _role, first, *rest = await streamed(client, CHATS, **ask)
        call = first["choices"][0]["delta"]["tool_calls"][0]
        assert (call["type"], call["function"]["name"]) == ("function", "look")
        assert call["id"].startswith("chatcmpl-tool-")
        calls = [call, *(event["choices"][0]["delta"]["tool_calls"][0] for event in rest)]
        assert all("id" not in one and "name" not in one["function"] for one in calls[1:])
        arguments = "".join(one["function"]["arguments"] for one in calls)
        assert isinstance(json.loads(arguments), dict)
        whole = await client.json(CHATS, **ask)
        message = whole["choices"][0]["message"]
        assert message["tool_calls"][0]["function"] == {"name": "look", "arguments": arguments}


async def test_an_unknown_tool_is_refused() -> None:
    async with open_twin() as client:
        choice = {"type": "function", "function": {"name": "look"}}
        answer = await client.ask(CHATS, **CHAT, tools=[], tool_choice=choice)
        assert answer.status_code == 400


async def test_a_stop_string_ends_the_text_before_it() -> None:
    async with open_twin() as client:
        ask = {"max_tokens": 30, "stop": [" 6", "x"]}
        choice = await said(client, **ask)
        assert (choice["text"], choice["finish_reason"]) == (" 4, 5,", "stop")
        assert choice["stop_reason"] == " 6"
        assert text_of(await streamed(client, **ask)) == " 4, 5,"
        kept = await said(client, **ask, include_stop_str_in_output=True)
        assert kept["text"] == " 4, 5, 6"
        late = await said(client, max_tokens=30, stop=",", min_tokens=8)
        assert late["text"] == " 4, 5, 6"


async def test_an_empty_abort_and_the_books_of_a_request() -> None:
    async with open_twin() as client:
        client.face.engine.draining = True
        (only,) = await streamed(client)
        assert (only["choices"][0]["text"], only["choices"][0]["finish_reason"]) == ("", "abort")


async def test_tokens_are_counted_as_they_will_be() -> None:
    async with open_twin(adapters=("law",)) as client:
        for model in ("twin", "law"):
            ask = {"model": model, "messages": CHAT["messages"]}
            counted = await client.json("/tokenize", **ask)
            whole = await client.json(CHATS, **ask, max_tokens=1)
            assert counted["count"] == whole["usage"]["prompt_tokens"]
            assert (await client.json("/detokenize", tokens=counted["tokens"]))["prompt"] == (
                "<|im_start|>user\n1, 2, 3,<|im_end|>\n<|im_start|>assistant\n"
            )
        assert (await client.json("/tokenize", prompt="1, 2,"))["count"] == 5
        assert (await client.ask("/tokenize", model="other", prompt="1")).status_code == 404
        assert (await client.ask("/tokenize", messages=[])).status_code == 400
