"""TGI's face: paths, shapes, refusals and metric names, as its router has them."""

import asyncio
import socket
from typing import Any

from engine_twin_kit import CHAT, COUNT, Twin, events, names, open_twin, parsed, text_of

from headrace.emulation.behaviour import Faults

GENERATE: dict[str, Any] = {"inputs": "1, 2, 3,", "parameters": {"max_new_tokens": 3}}
OVERLOADED = {"error": "Model is overloaded", "error_type": "overloaded"}


async def test_health_is_at_three_paths() -> None:
    async with open_twin("tgi") as client:
        assert [(await client.get(p)).status_code for p in ("/health", "/ping", "/")] == [200] * 3
        await client.faults(sick=True)
        assert [(await client.get(p)).status_code for p in ("/health", "/ping", "/")] == [503] * 3


async def test_generate_gives_each_token() -> None:
    async with open_twin("tgi") as client:
        whole = await client.json("/generate", **GENERATE)
        assert whole == {"generated_text": " 4,"}
        ask = {"inputs": "1, 2, 3,", "parameters": {"max_new_tokens": 3, "details": True}}
        details = (await client.json("/generate", **ask))["details"]
        assert (details["finish_reason"], details["generated_tokens"]) == ("length", 3)
        assert [token["text"] for token in details["tokens"]] == [" ", "4", ","]


async def test_generate_stream_ends_with_the_whole_text_and_no_done() -> None:
    async with open_twin("tgi") as client:
        answer = await client.ask("/generate_stream", **GENERATE)
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = [parsed(part) for part in answer.text.split("\n\n") if part]
        assert [event["token"]["text"] for event in found] == [" ", "4", ","]
        assert [event["index"] for event in found] == [1, 2, 3]
        assert [event["generated_text"] for event in found] == [None, None, " 4,"]
        assert "[DONE]" not in answer.text


async def test_info_and_models() -> None:
    async with open_twin("tgi", names=("m",), max_concurrent_requests=7) as client:
        info = (await client.get("/info")).json()
        assert (info["model_id"], info["max_concurrent_requests"]) == ("m", 7)
        assert info["version"] == "3.3.7"
        assert (await client.get("/v1/models")).json()["data"][0]["id"] == "m"


async def test_token_ids_are_no_prompt() -> None:
    async with open_twin("tgi") as client:
        assert (await client.ask("/v1/completions", prompt=[49, 44])).status_code == 422
        answer = await client.ask("/generate", inputs=[49, 44])
        assert (answer.status_code, answer.json()["error_type"]) == (422, "validation")


async def test_openai_answers() -> None:
    async with open_twin("tgi") as client:
        answer = await client.ask("/v1/completions", **COUNT, stream=True, return_token_ids=True)
        found = events(answer.text, prefix="data:")
        assert text_of(found) == " 4, 5,"
        assert found[-1]["choices"][0]["finish_reason"] == "length"
        assert "token_ids" not in found[0]["choices"][0]
        chat = await client.json("/v1/chat/completions", **CHAT)
        assert chat["choices"][0]["finish_reason"] == "length"
        assert chat["usage"]["completion_tokens"] == 6


async def test_a_partial_assistant_message_is_not_continued() -> None:
    messages = [*CHAT["messages"], {"role": "assistant", "content": "1, 2,"}]
    ask = {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}
    async with open_twin("tgi") as client:
        answer = await client.json("/v1/chat/completions", **ask, max_tokens=3)
        assert answer["choices"][0]["message"]["content"] != " 3,"


async def test_more_than_it_takes_at_once_is_429() -> None:
    async with open_twin("tgi", max_concurrent_requests=1, faults=Faults(hang_after=1)) as client:
        first = asyncio.create_task(client.ask("/generate", **GENERATE))
        await _unfinished(client, 1)
        for path, body in (("/generate", GENERATE), ("/v1/chat/completions", CHAT)):
            answer = await client.ask(path, **body)
            assert (answer.status_code, answer.json()) == (429, OVERLOADED)
        stream = await client.ask("/generate_stream", **GENERATE)
        assert stream.status_code == 200
        assert parsed(stream.text) == OVERLOADED
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_failed_generation() -> None:
    async with open_twin("tgi", faults=Faults(error_after=1)) as client:
        answer = await client.ask("/generate", **GENERATE)
        assert (answer.status_code, answer.json()["error_type"]) == (424, "generation")


async def test_metric_names() -> None:
    async with open_twin("tgi") as client:
        await client.ask("/generate", **GENERATE)
        found = names((await client.get("/metrics")).text)
        assert found >= {
            *("tgi_batch_current_size", "tgi_queue_size", "tgi_request_count"),
            *("tgi_batch_current_max_tokens", "tgi_batch_max_total_tokens"),
            *("tgi_request_success", "tgi_request_failure", "tgi_request_duration"),
            *("tgi_request_queue_duration", "tgi_batch_inference_duration"),
            *("tgi_request_mean_time_per_token_duration", "tgi_request_input_length"),
            "tgi_request_generated_tokens",
        }


async def test_metrics_can_have_a_port_of_their_own_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with open_twin("tgi", prometheus_port=port) as client:
        other = await client.get(f"http://127.0.0.1:{port}/metrics")
        assert names(other.text) == names((await client.get("/metrics")).text)
        assert (await client.get(f"http://127.0.0.1:{port}/generate")).status_code == 404


async def _unfinished(client: Twin, count: int) -> None:
    async with asyncio.timeout(5):
        while client.face.engine.books.unfinished < count:
            await client.get("/health")
