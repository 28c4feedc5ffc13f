"""Metrics pages become samples by canonical name, and what cannot be read says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from time import monotonic

import pytest

from headrace.bench import scrape
from headrace.bench.samples import Sample
from headrace.bench.scrape import Scraper, read_page
from headrace.bench.target import Page

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 1200.0
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 5.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 7.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 7.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 1.5
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 9.0
"""
WANT = {
    "running": 3.0,
    "waiting": 2.0,
    "kv_usage": 0.25,
    "prompt_tokens": 1200.0,
    "ttft_sum": 1.5,
    "ttft_count": 7.0,
}


@pytest.mark.parametrize(("engine", "version"), [("vllm", "0.32.0"), ("vllm", ""), ("", "")])
def test_an_engines_page_by_canonical_name(engine: str, version: str) -> None:
    page = Page(url="", source="engine:a", engine=engine, version=version)
    assert read_page(page, VLLM) == WANT


def test_of_an_unknown_version_old_names_count_as_well() -> None:
    old = VLLM.replace("kv_cache_usage_perc", "gpu_cache_usage_perc")
    assert read_page(Page(url="", source="engine:a"), old) == WANT
    without = read_page(Page(url="", source="engine:a", engine="vllm", version="0.32.0"), old)
    assert "kv_usage" not in without, "absent, not 0"


def test_the_gateways_page_by_its_own_names() -> None:
    text = (
        '# TYPE headrace_queued gauge\nheadrace_queued{deployment="d"} 4.0\n'
        '# TYPE headrace_ttft_seconds histogram\nheadrace_ttft_seconds_bucket{le="+Inf",route="r"} 2.0\n'
        'headrace_ttft_seconds_count{route="r"} 2.0\nheadrace_ttft_seconds_sum{route="r"} 0.5\n'
        "# TYPE headrace_connections gauge\nheadrace_connections 9.0\n# TYPE process_cpu gauge\nprocess_cpu 1.0\n"
    )
    assert read_page(Page(url="", source="gateway"), text) == {
        'headrace_queued{deployment="d"}': 4.0,
        'headrace_ttft_seconds_count{route="r"}': 2.0,
        'headrace_ttft_seconds_sum{route="r"}': 0.5,
        "headrace_connections": 9.0,
    }


def test_a_page_of_nobody_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="no engine is known"):
        read_page(Page(url="", source="engine:a"), "# TYPE go_threads gauge\ngo_threads 7\n")


def test_a_large_page_is_read_quickly() -> None:
    """vLLM's real one has about 1,500 lines; reading is beside the load, but on its machine."""
    many = "".join(
        f'vllm:request_params_n_bucket{{engine="0",le="{n}",model_name="m"}} 1.0\n'
        for n in range(20_000)
    )
    page = Page(url="", source="engine:a", engine="vllm", version="0.32.0")
    began = time.process_time()
    assert read_page(page, VLLM + many) == WANT
    assert time.process_time() - began < 0.15


async def samples_of(answer: bytes, *, looks: int = 1) -> list[Sample]:
    """Return what a scraper makes of a server that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if not answer:
            await reader.read()
        writer.close()

    found: list[Sample] = []
    enough = asyncio.Event()

    def tell(samples: Sequence[Sample]) -> None:
        found.extend(samples)
        if len(found) >= looks:
            enough.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        page = Page(url=f"http://127.0.0.1:{port}/metrics", source="engine:a")
        scraper = Scraper([page], 0.05, tell)
        await scraper.begin(monotonic())
        await asyncio.wait_for(enough.wait(), 60)
        await scraper.end()
    return found


async def test_it_looks_again_and_again_and_once_more_at_the_end() -> None:
    body = VLLM.encode()
    page = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    found = await samples_of(page, looks=3)
    assert len(found) >= 4
    assert all(one.values == WANT and not one.error for one in found)
    assert [one.at for one in found] == sorted(one.at for one in found)


async def test_pages_that_come_are_looked_at_and_those_that_went_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scrape, "_RELIST", 0.05)
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        body = VLLM.encode()
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        one, two = (
            Page(url=f"http://127.0.0.1:{port}/{name}", source=f"engine:{name}")
            for name in ("one", "two")
        )
        said: list[Sequence[Page] | None] = [[one, two], None, [two]]
        found: list[Sample] = []
        left = asyncio.Event()

        async def listing() -> Sequence[Page] | None:
            if not said:
                left.set()
                return None
            return said.pop(0)

        scraper = Scraper([one], 0.05, found.extend, listing)
        await scraper.begin(monotonic())
        await asyncio.wait_for(left.wait(), 60)
        asked.clear()
        await scraper.end()
    sources = [sample.source for sample in found]
    assert (sources[0], sources[-1]) == ("engine:one", "engine:two")
    assert not any(sample.error for sample in found)
    came = next(sample for sample in found if sample.source == "engine:two")
    assert [sample for sample in found if sample.new] == [came]
    assert set(asked) == {"/two"}, "the last look is at what is there in the end"


GONE = Page(url="http://127.0.0.1:9/metrics", source="engine:gone")


@pytest.mark.parametrize(("pages", "fails"), [([GONE], True), (None, True), ([], False)])
async def test_a_page_that_went_with_its_replica_is_no_failed_look(
    pages: list[Page] | None, *, fails: bool
) -> None:
    async def listing() -> Sequence[Page] | None:
        return pages

    found: list[Sample] = []
    scraper = Scraper([GONE], 60.0, found.extend, listing)
    await scraper.begin(monotonic())
    await scraper.end()
    assert [bool(sample.error) for sample in found] == [True] * fails


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "no engine is known"),
        (b"nonsense\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\nvllm:num_requests_running{a 1.0", ""),
        (b"", "ReadTimeout"),
    ],
)
async def test_a_page_that_cannot_be_read_is_a_sample_with_an_error(
    answer: bytes, error: str
) -> None:
    first = (await samples_of(answer))[0]
    assert (first.values == {}) == bool(first.error)
    assert error in first.error
