"""Triton's face: KServe paths, generate, metrics on their own port, and the OpenAI front end."""

import httpx
from engine_twin_kit import CHAT, COUNT, Twin, events, names, open_twin, parsed, text_of

from headrace.emulation.behaviour import Faults
from headrace.emulation.faces.triton import TritonFace

GENERATE = {"text_input": "1, 2, 3,", "max_tokens": 3}
CHATS = "/v1/chat/completions"


def port(client: Twin, name: str) -> httpx.AsyncClient:
    """Return a client of another port."""
    assert isinstance(client.face, TritonFace)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{client.face.ports[name]}", timeout=20)


async def test_health_and_models() -> None:
    async with open_twin("triton", names=("m",)) as client:
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready"):
            assert (await client.get(path)).status_code == 200
        for path in ("/health", "/metrics", "/v1/models", "/v2/models/other/ready"):
            assert (await client.get(path)).status_code == 404


async def test_health_says_nothing_of_a_worker_that_failed() -> None:
    async with open_twin("triton", exit_=lambda _: None) as client:
        await client.faults(crash=True)
        assert (await client.get("/v2/health/ready")).status_code == 200
        answer = await client.ask("/v2/models/twin/generate", **GENERATE)
        assert answer.status_code == 500


async def test_generate() -> None:
    async with open_twin("triton") as client:
        whole = await client.json("/v2/models/twin/generate", **GENERATE)
        assert (whole["model_name"], whole["text_output"]) == ("twin", " 4,")
        answer = await client.ask("/v2/models/twin/generate_stream", **GENERATE)
        assert answer.headers["content-type"].startswith("text/event-stream")
        parts = [parsed(part) for part in answer.text.split("\n\n") if part]
        assert [part["text_output"] for part in parts] == [" ", "4", ","]


async def test_only_the_raw_model_takes_ids() -> None:
    async with open_twin("triton") as client:
        ask = {"input_ids": list(b"1, 2, 3,"), "request_output_len": 3}
        raw = await client.json("/v2/models/tensorrt_llm/generate", **ask)
        assert bytes(raw["output_ids"]) == b" 4,"
        assert (await client.ask("/v2/models/twin/generate", **ask)).status_code == 400


async def test_metrics_have_a_port_of_their_own() -> None:
    async with open_twin("triton", metrics_port=0) as client, port(client, "metrics") as other:
        await client.json("/v2/models/twin/generate", **GENERATE)
        page = (await other.get("/metrics")).text
        assert names(page) >= {
            *("nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"),
            *("nv_trt_llm_inflight_batcher_metrics", "nv_inference_pending_request_count"),
            *("nv_inference_request_success", "nv_inference_request_failure"),
            *("nv_inference_request_duration_us", "nv_inference_queue_duration_us"),
            *("nv_llm_input_token_len", "nv_llm_output_token_len"),
            "nv_inference_first_response_histogram_ms",
        }
        assert 'request_type="active"' in page
        assert all(f'kv_cache_block_type="{kind}"' in page for kind in ("fraction", "free", "max"))


async def test_the_openai_front_end() -> None:
    async with open_twin("triton", openai_port=0) as client, port(client, "openai") as front:
        assert (await front.get("/health/ready")).status_code == 200
        assert (await front.get("/v1/models")).json()["data"][0]["id"] == "twin"
        found = events(
            (await front.post(CHATS, json={**CHAT, "model": "twin", "stream": True})).text
        )
        assert text_of(found)
        assert found[-1]["choices"][0]["finish_reason"] == "stop"
        whole = (await front.post("/v1/completions", json={**COUNT, "model": "twin"})).json()
        assert whole["choices"][0]["text"] == " 4, 5,"
        for field in ("return_token_ids", "continue_final_message"):
            answer = await front.post(CHATS, json={**CHAT, "model": "twin", field: True})
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["type"] == "extra_forbidden"


async def test_an_error_in_a_stream() -> None:
    async with open_twin("triton", faults=Faults(error_after=1)) as client:
        answer = await client.ask("/v2/models/twin/generate_stream", **GENERATE)
        assert "error" in parsed([part for part in answer.text.split("\n\n") if part][-1])
