"""SIGTERM manners of the five engines, with real processes; what is known is in the faces."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from twin_outside import Twin, read_events, start

ENDLESS: dict[str, Any] = {"prompt": "1, 2, 3,", "max_tokens": 2000, "stream": True}
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 40, "stream": True}
PACE = ("--ttft", "0", "--tpot", "0.03")
ENGINE = {
    "tgi": ("--engine", "tgi"),
    "trtllm": ("--engine", "trtllm"),
    "triton": ("--engine", "triton", "--metrics-port", "none"),
}


def refused(twin: Twin) -> None:
    """Wait until the twin takes no new connections, which is far before any deadline of its."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            with twin.fresh() as fresh:
                fresh.get("/emulate")
        except httpx.ConnectError:
            return
    raise AssertionError("the twin still takes connections")


def test_a_stop_cuts_streams_by_default(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0.05")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.stop()
        rest = read_events(lines)
    assert rest[-2]["choices"][0]["finish_reason"] == "abort"
    assert rest[-1] == "data: [DONE]"
    assert twin.process.wait(60) == 0


def test_a_stop_can_cut_with_an_error(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0.05", "--cut", "error")
    with twin.client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.stop()
        rest = read_events(lines)
    assert rest[-2]["error"]["code"] == 500


def test_a_drain_finishes_streams_and_lies_about_its_health(twins: list[Twin]) -> None:
    twin = start(twins, "--ttft", "0", "--tpot", "0.03", "--shutdown-timeout", "30")
    with twin.client.stream(
        "POST", "/v1/completions", json=ENDLESS | {"max_tokens": 120}
    ) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.stop()
        choice: dict[str, Any] = {}
        with twin.fresh() as fresh:
            while choice.get("finish_reason") != "abort":
                body = {"prompt": "1, 2,", "max_tokens": 1}
                choice = fresh.post("/v1/completions", json=body).json()["choices"][0]
            assert choice["text"] == ""
            assert fresh.get("/health").status_code == 200
        rest = read_events(lines)
    assert rest[-2]["choices"][0]["finish_reason"] == "length"
    assert twin.process.wait(60) == 0


@pytest.mark.parametrize(
    ("version", "timeout"), [("0.17.1", ()), ("0.32.0", ("--shutdown-timeout", "30"))]
)
def test_nothing_drains_before_0_18(
    twins: list[Twin], version: str, timeout: tuple[str, ...]
) -> None:
    flags = ("--engine-version", version, *timeout, "--cut", "abort")
    twin = start(twins, *PACE, *flags)
    wanted, tokens = ("abort", 2000) if version == "0.17.1" else ("length", 40)
    body = ENDLESS | {"max_tokens": tokens}
    with twin.client.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.stop()
        rest = read_events(lines)
    assert rest[-2]["choices"][0]["finish_reason"] == wanted


def test_a_stream_that_hangs_keeps_the_process_as_long_as_the_client(twins: list[Twin]) -> None:
    twin = start(twins, *PACE, "--cut", "hang", "--cut-after", "0")
    with (
        httpx.Client(base_url=twin.url, timeout=httpx.Timeout(60, read=2)) as client,
        client.stream("POST", "/v1/completions", json=ENDLESS) as answer,
    ):
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.stop()
        with pytest.raises(httpx.ReadTimeout):
            read_events(lines)
        assert twin.process.poll() is None
    assert twin.process.wait(60) == 0


@pytest.mark.parametrize(
    ("engine", "path", "body"),
    [
        ("tgi", "/v1/chat/completions", CHAT),
        ("trtllm", "/v1/chat/completions", CHAT),
        (
            "triton",
            "/v2/models/twin/generate_stream",
            {"text_input": "1, 2, 3,", "max_tokens": 40},
        ),
    ],
)
def test_those_that_stop_accepting_finish_what_they_have(
    twins: list[Twin], engine: str, path: str, body: dict[str, Any]
) -> None:
    twin = start(twins, *ENGINE[engine], *PACE)
    with twin.client.stream("POST", path, json=body) as answer:
        parts = answer.iter_raw()
        begun = next(parts)
        twin.stop()
        refused(twin)
        text = (begun + b"".join(parts)).decode()
    events = [part for part in text.split("\n\n") if part and "[DONE]" not in part]
    assert len(events) in (40, 41)  # one with the role
    assert "length" in events[-1] or engine == "triton"
    assert twin.process.wait(60) == 0


@pytest.mark.parametrize(
    ("engine", "flag", "path", "body"),
    [
        ("tgi", "--graceful-termination-timeout", "/v1/completions", ENDLESS),
        (
            "triton",
            "--exit-timeout",
            "/v2/models/twin/generate_stream",
            {"text_input": "1, 2, 3,", "max_tokens": 2000},
        ),
    ],
)
def test_those_with_a_deadline_break_off_what_is_left(
    twins: list[Twin], engine: str, flag: str, path: str, body: dict[str, Any]
) -> None:
    twin = start(twins, *ENGINE[engine], *PACE, flag, "0.2")
    with twin.client.stream("POST", path, json=body) as answer:
        parts = answer.iter_raw()
        next(parts)
        twin.stop()
        with pytest.raises(httpx.RemoteProtocolError):
            b"".join(parts)
    assert twin.process.wait(60) == 0


def test_sglang_takes_requests_while_it_drains(twins: list[Twin]) -> None:
    twin = start(twins, "--engine", "sglang", "--probe", "0", "--poll", "0.1", *PACE)
    body = CHAT | {"max_tokens": 120}
    with twin.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        read_events(lines, 2)
        twin.stop()
        with twin.fresh() as fresh:
            while fresh.get("/ready").status_code == 200:
                pass
            assert fresh.get("/health").status_code == 503
            asked = {"prompt": "1, 2,", "max_tokens": 3}
            choice = fresh.post("/v1/completions", json=asked).json()["choices"][0]
            assert (choice["text"], choice["finish_reason"]) == (" 3,", "length")
        rest = read_events(lines)
    assert rest[-2]["choices"][0]["finish_reason"] == "length"
    assert twin.process.wait(60) == 0


def test_a_second_signal_changes_nothing(twins: list[Twin]) -> None:
    twin = start(twins, "--engine", "trtllm", *PACE)
    with twin.client.stream("POST", "/v1/chat/completions", json=CHAT) as answer:
        lines: Iterator[str] = answer.iter_lines()
        read_events(lines, 2)
        twin.stop()
        refused(twin)
        twin.stop()
        rest = read_events(lines)
    assert rest[-2]["choices"][0]["finish_reason"] == "length"
    assert twin.process.wait(60) == 0
