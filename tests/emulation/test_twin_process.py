"""The twin as a process: start-up phases, last words, deaths, and what the command line takes."""

import socket
from typing import Any

import httpx
import pytest
from twin_outside import Twin, read_events, start

from headrace.engines.vllm_log import kv_cache_tokens, last_words, phase

ENDLESS: dict[str, Any] = {"prompt": "1, 2, 3,", "max_tokens": 2000, "stream": True}


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
    assert twins[-1].process.wait(60) == 1


def test_a_reset_breaks_the_connection_mid_body(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0", "--reset-after", "3")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        twin.client.post("/v1/completions", json=ENDLESS)
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        twin.client.post("/v1/completions", json=ENDLESS | {"stream": False})


def test_death_mid_stream_takes_the_process(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0", "--die-after", "3")
    with pytest.raises(httpx.TransportError):
        twin.client.post("/v1/completions", json=ENDLESS)
    assert twin.process.wait(60) == 137


def test_a_client_that_hangs_up_frees_the_slot(twins: list[Twin]) -> None:
    twin = start(twins, "--slots", "1", "--ttft", "0", "--tpot", "0", "--hang-after", "2")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
        read_events(answer.iter_lines(), 2)
    twin.client.post("/emulate", json={"hang_after": None})
    whole = twin.client.post("/v1/completions", json={"prompt": "1, 2,", "max_tokens": 3})
    assert whole.json()["choices"][0]["text"] == " 3,"
    page = twin.client.get("/metrics").text
    assert 'finished_reason="abort",model_name="twin"} 1.0' in page


def test_faults_from_the_environment(twins: list[Twin], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_EMULATE", '{"wrong": true, "hang_after": 9}')
    shown = start(twins, "--hang-after", "3", "--sick").client.get("/emulate").json()
    assert (shown["wrong"], shown["sick"], shown["hang_after"]) == (True, True, 9)
    monkeypatch.setenv("HEADRACE_EMULATE", '{"wrnog": true}')
    twins.append(Twin())
    assert twins[-1].process.wait(60) == 2


def test_a_worker_that_dies_takes_the_process_a_while_later(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--crash-exit", "0.2", "--crash-after", "2")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
        found = read_events(answer.iter_lines())
    assert found[-2]["error"]["message"].startswith("EngineCore encountered an issue")
    assert found[-1] == "data: [DONE]"
    assert twin.process.wait(60) == 1


def test_one_that_answers_while_it_starts(twins: list[Twin]) -> None:
    flags = ("--engine", "trtllm", "--answers-while-starting", "--port")
    with httpx.Client() as client:
        port = free_port()
        twins.append(Twin(*flags, str(port), "--startup", "1"))
        states = []
        while 200 not in states:
            try:
                states.append(client.get(f"http://127.0.0.1:{port}/health").status_code)
            except httpx.ConnectError:
                states.append(0)
    assert [state for i, state in enumerate(states) if state not in states[:i]] == [0, 503, 200]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
