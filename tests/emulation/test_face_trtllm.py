"""trtllm-serve's face: a strict schema, ids without text, metrics in two places, a slow start."""

import pytest
from engine_twin_kit import CHAT, COUNT, names, open_twin, said, samples, streamed

from headrace.emulation.behaviour import Faults


@pytest.mark.parametrize("field", ["return_token_ids", "continue_final_message", "no_such_thing"])
async def test_unknown_fields_are_refused(field: str) -> None:
    async with open_twin("trtllm") as client:
        for path, body in (("/v1/completions", COUNT), ("/v1/chat/completions", CHAT)):
            answer = await client.ask(path, **body, **{field: True})
            assert answer.status_code in (400, 422)
            assert "Extra inputs are not permitted" in answer.text
            assert field in answer.text


async def test_ids_come_instead_of_text() -> None:
    async with open_twin("trtllm") as client:
        assert (await said(client))["token_ids"] is None
        found = await streamed(client, detokenize=False)
        ids = [token for event in found for token in event["choices"][0]["token_ids"]]
        assert bytes(ids) == b" 4, 5,"
        rest = await said(client, prompt=[*b"1, 2, 3,", *ids[:3]], max_tokens=3)
        assert rest["text"] == " 5,"


async def test_health_and_health_that_generates() -> None:
    async with open_twin("trtllm") as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/health_generate")).status_code == 200
        await client.faults(sick=True, error_after=0)
        assert (await client.get("/health")).status_code == 503
        assert (await client.get("/health_generate")).status_code == 500


async def test_while_it_starts_every_path_is_503() -> None:
    async with open_twin("trtllm", answers_while_starting=True) as client:
        assert client.face.listens_early
        client.face.starting = True
        for path in ("/health", "/v1/models", "/no/such/path"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["x-trtllm-server-state"] == "starting"
        client.face.starting = False
        assert (await client.get("/health")).status_code == 200


async def test_metrics_are_json_and_prometheus_is_elsewhere() -> None:
    async with open_twin("trtllm") as client:
        assert isinstance((await client.get("/metrics")).json(), list)
        assert (await client.get("/prometheus/metrics")).status_code == 404
    async with open_twin("trtllm", return_perf_metrics=True) as client:
        await said(client)
        page = (await client.get("/prometheus/metrics")).text
        assert names(page) >= {
            *("trtllm_num_requests_running", "trtllm_num_requests_waiting"),
            *("trtllm_kv_cache_utilization", "trtllm_time_to_first_token_seconds"),
            *("trtllm_time_per_output_token_seconds", "trtllm_e2e_request_latency_seconds"),
            *("trtllm_request_success_total", "trtllm_request_error_total"),
            *("trtllm_prompt_tokens_total", "trtllm_generation_tokens_total"),
            *("trtllm_request_queue_time_seconds", "trtllm_kv_cache_hit_rate"),
        }
        labels = 'engine_type="pytorch",model_name="twin"'
        assert samples(page)[f"trtllm_generation_tokens_total{{{labels}}}"] == 6


async def test_1_1_had_five_series() -> None:
    async with open_twin("trtllm", version="1.1.0rc5", return_perf_metrics=True) as client:
        await said(client)
        assert names((await client.get("/prometheus/metrics")).text) == {
            *("trtllm_time_to_first_token_seconds", "trtllm_time_per_output_token_seconds"),
            *("trtllm_e2e_request_latency_seconds", "trtllm_request_queue_time_seconds"),
            "trtllm_request_success_total",
        }


async def test_blocks_are_reused_and_missed() -> None:
    async with open_twin("trtllm", return_perf_metrics=True, block_size=2) as client:
        for _ in range(2):
            await said(client)
        page = samples((await client.get("/prometheus/metrics")).text)
        # "1, 2, 3," has 8 tokens, whose last is always computed: 3 blocks of 2 are found again.
        labels = '{engine_type="pytorch",model_name="twin"}'
        assert page[f"trtllm_kv_cache_reused_blocks_total{labels}"] == 6
        assert page[f"trtllm_kv_cache_missed_blocks_total{labels}"] == 10


async def test_gauges_are_stale_between_completions() -> None:
    async with open_twin("trtllm", return_perf_metrics=True) as client:
        client.face.engine.books.running = 3  # a request that has not completed
        page = samples((await client.get("/prometheus/metrics")).text)
        (value,) = [v for name, v in page.items() if name.startswith("trtllm_num_requests_running")]
        assert value == 0
        client.face.engine.books.running = 0


async def test_an_error_is_an_error() -> None:
    async with open_twin("trtllm", faults=Faults(error_after=2)) as client:
        assert (await client.ask("/v1/completions", **COUNT)).status_code == 500
        assert "message" in (await streamed(client))[-1]
