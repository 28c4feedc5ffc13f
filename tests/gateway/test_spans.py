"""Spans as a collector gets them: OTLP over HTTP, decoded here from the protobuf itself."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness import PLAIN, engine, rig, until
from made_records import record
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from headrace.gateway import spans as spans_module
from headrace.gateway.control import Store
from headrace.gateway.log import Log
from headrace.gateway.records import Record
from headrace.gateway.spans import Spans
from headrace.gateway.traces import new_traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Collector:
    """Keeps what it is sent; `status` is what it answers."""

    url: str = ""
    status: int = 200
    paths: list[str] = field(default_factory=list)
    asked: list[ExportTraceServiceRequest] = field(default_factory=list)

    def spans(self) -> list[Span]:
        scopes = [s for ask in self.asked for r in ask.resource_spans for s in r.scope_spans]
        return [span for scope in scopes for span in scope.spans]


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.paths.append(self.path)
            if made.status == 200:
                made.asked.append(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(made.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(span: Span) -> dict[str, Any]:
    def value(any_: Any) -> Any:
        kind = any_.WhichOneof("value")
        if kind == "array_value":
            return [value(one) for one in any_.array_value.values]
        return getattr(any_, kind)

    return {one.key: value(one.value) for one in span.attributes}


def story() -> Record:
    """Held, spilled over, broken once, continued."""
    _, trace = new_traceparent(f"00-{TRACE}-{PARENT}-01".encode())
    return record(
        "req-1", ago=5, trace=trace_fields(trace), held_s=0.5, queued_s=0.25, ttft_s=1.0,
        duration_s=4.0, prompt_tokens=100, cached_tokens=64, completion_tokens=20, cost=0.5,
        rule="model is m", variant="e", why="weight 5 of 100", deployment="d", key="team",
        conversation="c0ffee", attempts=2, continuations=1,
        fallbacks=[{"cause": "cold", "origin": "e"}],
        limits=[{"limit": "key team: 10 requests a minute", "enforced": False}],
        tried=[
            {"replica": "d-0", "start_s": 0.75, "duration_s": 1.0, "outcome": "upstream_broke",
             "host": "127.0.0.1", "port": 8001},
            {"replica": "d-1", "start_s": 1.75, "duration_s": 2.25, "host": "127.0.0.2", "port": 8002},
        ],
    )  # fmt: skip


def trace_fields(trace: Any) -> dict[str, Any]:
    return {name: getattr(trace, name) for name in trace.__struct_fields__}


def exported(*records: Record) -> list[Span]:
    with collector() as to:
        said: list[str] = []
        sender = Spans(to.url, said.append)
        sender.export(records)
        sender.close()
        assert said == []
        assert set(to.paths) <= {"/v1/traces"}
        return to.spans()


def test_the_span_of_a_request_follows_the_conventions() -> None:
    whole, *_ = exported(story())
    assert whole.name == "chat m"
    assert whole.kind == Span.SPAN_KIND_CLIENT
    assert whole.trace_id.hex() == TRACE
    assert whole.parent_span_id.hex() == PARENT
    assert (whole.end_time_unix_nano - whole.start_time_unix_nano) / 1e9 == 4.0
    assert [(e.name, e.time_unix_nano - whole.start_time_unix_nano) for e in whole.events] == [
        ("headrace.first_token", 10**9)
    ]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "headrace",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": "c0ffee",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.response.time_to_first_chunk": 1.0,
        "server.address": "127.0.0.2",
        "server.port": 8002,
        "headrace.request.id": "req-1",
        "headrace.route": "r",
        "headrace.route.rule": "model is m",
        "headrace.variant": "e",
        "headrace.variant.why": "weight 5 of 100",
        "headrace.deployment": "d",
        "headrace.replica": "d-0",
        "headrace.fallback.causes": ["cold"],
        "headrace.fallback.from": ["e"],
        "headrace.limits": ["key team: 10 requests a minute"],
        "headrace.wait.held_s": 0.5,
        "headrace.wait.queued_s": 0.25,
        "headrace.continuations": 1,
        "headrace.cost": 0.5,
        "headrace.key": "team",
    }
    found = attributes(whole)
    assert {name: found.get(name) for name in expected} == expected


def test_waits_and_attempts_are_its_children() -> None:
    whole, wait, first, second = exported(story())
    assert {one.parent_span_id for one in (wait, first, second)} == {whole.span_id}
    assert {one.trace_id for one in (whole, wait, first, second)} == {whole.trace_id}
    assert len({one.span_id for one in (whole, wait, first, second)}) == 4
    begin = whole.start_time_unix_nano

    def when(span: Span) -> tuple[float, float]:
        return (span.start_time_unix_nano - begin) / 1e9, (span.end_time_unix_nano - begin) / 1e9

    assert (wait.name, wait.kind, when(wait)) == ("wait", Span.SPAN_KIND_INTERNAL, (0.0, 0.75))
    assert (first.name, when(first)) == ("POST /v1/chat/completions", (0.75, 1.75))
    assert (first.status.code, attributes(first)["error.type"]) == (2, "upstream_broke")
    assert (second.status.code, when(second)) == (0, (1.75, 4.0))
    assert attributes(second)["headrace.replica"] == "d-1"
    assert attributes(second)["server.port"] == 8002


def test_a_request_that_failed_is_an_error() -> None:
    _, trace = new_traceparent(None)
    failed = record(outcome="refused", error="queue_full", status=429, trace=trace_fields(trace))
    (span,) = exported(failed)
    assert (span.status.code, attributes(span)["error.type"]) == (2, "queue_full")
    assert span.parent_span_id == b""


def test_no_span_without_a_trace_or_for_what_the_client_did_not_sample() -> None:
    _, trace = new_traceparent(f"00-{TRACE}-{PARENT}-00".encode())
    assert exported(record(), record(trace=trace_fields(trace))) == []


def test_words_stay_here() -> None:
    _, trace = new_traceparent(None)
    (span,) = exported(record(prompt="secret-1", answer="secret-2", trace=trace_fields(trace)))
    assert b"secret" not in span.SerializeToString()


def test_a_collector_that_fails_is_said_once_and_again_when_it_is_back() -> None:
    with collector() as to:
        said: list[str] = []
        sender = Spans(to.url, said.append)
        to.status = 400  # not worth another try, by the protocol
        for _ in range(3):
            sender.export([story()])
            sender._processor.force_flush()
        to.status = 200
        sender.export([story()])
        sender._processor.force_flush()
        sender.close()
        assert len(to.spans()) == 4
    assert [line.split(f" {to.url}")[0] for line in said] == [
        "spans are lost: the collector at",
        "the collector at",
    ]
    assert said[1].endswith(" s")


def test_the_sdk_itself_says_nothing() -> None:
    """In a process of its own, because pytest takes what is logged."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_spans import Spans, story\n"
        "sender = Spans(sys.argv[2], print); sender.export([story()]); sender.close()"
    )
    with collector() as to:
        to.status = 400
        command = [sys.executable, "-c", code, str(Path(__file__).parent), to.url]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("spans are lost")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_dead_collector_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spans_module, "QUEUE", 512)
    monkeypatch.setattr(spans_module, "LAST_TRY", 0.01)
    monkeypatch.setattr(spans_module, "_TIMEOUT", 0.5)
    before = set(threading.enumerate())
    log = Log()
    with collector() as gone:
        pass
    log.configure(Store(path=str(tmp_path / "s")), gone.url)
    for _ in range(4):
        for _ in range(100):  # of four spans each
            log.add(story())
        log.flush()
    log.close()
    assert log.dropped == 0
    assert capsys.readouterr().err.count("\n") <= 1
    # Its last tries draw from the global `random`, which other tests watch.
    for thread in set(threading.enumerate()) - before:
        thread.join(60)


@pytest.mark.parametrize("given", ["{}", "{}/", "{}/v1/traces"])
def test_the_endpoint_is_the_collectors_address_or_the_whole_url(given: str) -> None:
    with collector() as to:
        sender = Spans(given.format(to.url), print)
        sender.export([story()])
        sender.close()
        assert to.paths == ["/v1/traces"]


async def test_an_engine_hangs_its_spans_below_the_requests(tmp_path: Path) -> None:
    with collector() as to:
        async with engine() as one, rig() as it:
            it.gateway.log.configure(Store(path=str(tmp_path / "s")), to.url)
            it.replicas(one)
            wire = await it.post(PLAIN, traceparent=f"00-{TRACE}-{PARENT}-01")
            asked = await one.next()
            asked.answer_json({"choices": []})
            assert (await wire.answer()).status == 200
            await until(lambda: it.gateway.log._waiting)
        whole, *_, tried = to.spans()
    assert asked.headers()["traceparent"] == f"00-{TRACE}-{whole.span_id.hex()}-01"
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes(whole)["headrace.route"] == "r"
    assert attributes(tried)["server.port"] == one.port
