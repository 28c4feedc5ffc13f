"""The twin as a process: start-up phases, last words, and its manners at SIGTERM."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from headrace.engines.vllm_log import kv_cache_tokens, last_words, phase

ENDLESS = {"prompt": "1, 2, 3,", "max_tokens": 2000, "stream": True}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Twin:
    def __init__(self, *flags: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "headrace.emulation", "--port", str(self.port), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        transport = httpx.HTTPTransport(retries=0)
        url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=url, transport=transport, timeout=20)

    def serving(self) -> "Twin":
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if phase(line) == "serve":
                break
        while True:
            try:
                self.client.get("/health")
            except httpx.ConnectError:
                assert self.process.poll() is None
            else:
                return self

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def twins() -> Iterator[list[Twin]]:
    started: list[Twin] = []
    yield started
    for twin in started:
        twin.end()


def start(twins: list[Twin], *flags: str) -> Twin:
    twins.append(Twin(*flags))
    return twins[-1].serving()


def read_events(lines: Iterator[str], count: int | None = None) -> list[Any]:
    found: list[Any] = []
    for line in lines:
        if line.startswith("data: "):
            found.append(line if line == "data: [DONE]" else json.loads(line[6:]))
        if len(found) == count:
            break
    return found


def test_phases_are_printed_in_order(twins: list[Twin]) -> None:
    twin = start(twins, "--model", "a", "b", "--ttft", "0", "--tpot", "0")
    phases = [found for line in twin.lines if (found := phase(line))]
    assert phases == ["import", "load", "kv cache", "warm-up", "serve"]
    assert [t for line in twin.lines if (t := kv_cache_tokens(line))] == [46_592]
    assert [m["id"] for m in twin.client.get("/v1/models").json()["data"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("crash", "words"),
    [
        ("model", "Invalid repository ID"),
        ("memory", "less than requested memory for kv"),
        ("flag", "unrecognized arguments: --swap-space"),
        ("port", "Address already in use"),
    ],
)
def test_a_crash_at_start_leaves_real_last_words(twins: list[Twin], crash: str, words: str) -> None:
    twins.append(Twin("--crash", crash))
    assert twins[-1].process.stdout is not None
    log = twins[-1].process.stdout.read().splitlines()
    assert words in last_words(log)
    assert twins[-1].process.wait(10) == 1


def test_a_stop_cuts_streams_by_default(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0.05")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.process.send_signal(signal.SIGTERM)
        rest = read_events(lines)
    assert rest[-2]["choices"][0]["finish_reason"] == "abort"
    assert rest[-1] == "data: [DONE]"
    assert twin.process.wait(10) == 0


def test_a_stop_can_cut_with_an_error(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0.05", "--cut", "error")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.process.send_signal(signal.SIGTERM)
        rest = read_events(lines)
    assert rest[-2]["error"]["code"] == 500


def test_a_drain_finishes_streams_and_lies_about_its_health(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0.03", "--shutdown-timeout", "30")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS | {"max_tokens": 60}) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.process.send_signal(signal.SIGTERM)
        fresh = httpx.Client(base_url=f"http://127.0.0.1:{twin.port}")
        choice: dict[str, Any] = {}
        with fresh:
            while choice.get("finish_reason") != "abort":
                body = {"prompt": "1, 2,", "max_tokens": 1}
                choice = fresh.post("/v1/completions", json=body).json()["choices"][0]
            assert choice["text"] == ""
            assert fresh.get("/health").status_code == 200
        rest = read_events(lines)
    assert rest[-2]["choices"][0]["finish_reason"] == "length"
    assert twin.process.wait(10) == 0


def test_a_reset_breaks_the_connection_mid_body(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0", "--reset-after", "3")
    with pytest.raises(httpx.RemoteProtocolError):
        twin.client.post("/v1/completions", json=ENDLESS)
    with pytest.raises(httpx.RemoteProtocolError):
        twin.client.post("/v1/completions", json=ENDLESS | {"stream": False})


def test_death_mid_stream_takes_the_process(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0", "--die-after", "3")
    with pytest.raises(httpx.TransportError):
        twin.client.post("/v1/completions", json=ENDLESS)
    assert twin.process.wait(10) == 137


def test_a_client_that_hangs_up_frees_the_slot(twins: list[Twin]) -> None:
    twin = start(twins, "--slots", "1", "--ttft", "0", "--tpot", "0", "--hang-after", "2")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
        read_events(answer.iter_lines(), 2)
    twin.client.post("/emulate", json={"hang_after": None})
    whole = twin.client.post("/v1/completions", json={"prompt": "1, 2,", "max_tokens": 3})
    assert whole.json()["choices"][0]["text"] == " 3,"
    page = twin.client.get("/metrics").text
    assert 'finished_reason="abort",model_name="twin"} 1.0' in page
