"""HTTP as clients speak it, well and badly."""

from __future__ import annotations

import asyncio
import json
from time import monotonic

import pytest
from harness import PLAIN, STREAM, Wire, engine, rig, soon, token, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
BODY = json.dumps(PLAIN).encode()


async def test_models_are_listed_in_openai_shape() -> None:
    async with rig() as it:
        wire = await it.connect()
        wire.get("/v1/models")
        listed = (await wire.answer()).json()
        assert listed["object"] == "list"
        assert [model["id"] for model in listed["data"]] == ["m", "m-alias"]
        wire.get("/v1/models/m-alias")
        assert (await wire.answer()).json()["id"] == "m-alias"
        wire.get("/v1/models/m-alia")
        answer = await wire.answer()
        assert (answer.status, answer.code) == (404, "model_not_found")
        assert "'m-alias'" in answer.json()["error"]["message"]


async def test_health_and_readiness() -> None:
    async with rig() as it:
        wire = await it.connect()
        for path, status in (("/healthz", 200), ("/readyz", 200)):
            wire.get(path)
            assert (await wire.answer()).status == status
        other = await it.connect()
        other.send(b"GET /readyz HTTP/1.1\r\nHost: g\r\n")
        # It is under way when the drain begins.
        await until(lambda: any(one._reader.in_request for one in it.gateway.clients))
        it.gateway.drain()
        other.send(b"\r\n")
        wire.get("/readyz")
        for each in (other, wire):
            answer = await each.answer()
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert await each.closed()


async def test_metrics_are_exposed() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        (await one.next()).answer_json({"usage": {"prompt_tokens": 3, "completion_tokens": 4}})
        await wire.answer()
        wire.get("/metrics")
        text = (await wire.answer()).body.decode()
        labels = 'deployment="d",route="r"'
        assert 'headrace_requests_total{deployment="d",outcome="ok",route="r"} 1.0' in text
        assert f"headrace_input_tokens_total{{{labels}}} 3.0" in text
        assert f"headrace_output_tokens_total{{{labels}}} 4.0" in text
        assert 'headrace_running{deployment="d"} 0.0' in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/nothing", 404),
        ("OPTIONS", "/v1/models", 405),
    ],
)
async def test_wrong_paths_and_methods(method: str, path: str, status: int) -> None:
    async with rig() as it:
        wire = await it.connect()
        wire.send(f"{method} {path} HTTP/1.1\r\nHost: g\r\n\r\n".encode())
        answer = await wire.answer()
        assert answer.status == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"{}", b'{"model":5}', b'{"model":"m","stream":"yes"}', b"\xff\xfe"],
)
async def test_bodies_that_cannot_be_routed(body: bytes) -> None:
    async with rig() as it:
        answer = await (await it.post(body)).answer()
        assert (answer.status, answer.code) == (400, "bad_request")


async def test_an_unknown_model_names_the_nearest() -> None:
    async with rig() as it:
        answer = await (await it.post(PLAIN | {"model": "m-aliaz"})).answer()
        assert (answer.status, answer.code) == (404, "model_not_found")
        message = answer.json()["error"]["message"]
        assert "Did you mean 'm-alias'?" in message
        assert "Served: m, m-alias." in message
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: +2\r\n\r\n{}", 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding : chunked\r\n\r\n", 400),
        (HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", 400),
        (HEAD + b"Host: other\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"POST /v1/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"GET /healthz HTTP/1.1\nHost: g\n\n", 400),
        (b"POST /v1/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (HEAD + b"\r\n", 411),
        (HEAD + b"Content-Length: 99999999\r\n\r\n", 413),
        (HEAD + b"Expect: tea\r\nContent-Length: 2\r\n\r\n", 417),
        (HEAD + b"X: y\r\n" * 200 + b"\r\n", 431),
        (HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 70_000, 431),
        (HEAD.replace(b"application/json", b"text/plain") + b"Content-Length: 2\r\n\r\n{}", 415),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415),
    ],
)
async def test_what_is_not_accepted(request_bytes: bytes, status: int) -> None:
    async with rig(max_body=1_000_000) as it:
        wire = await it.connect()
        for at in range(0, len(request_bytes), 50_000):
            wire.send(request_bytes[at : at + 50_000])
            await asyncio.sleep(0.01)
        answer = await wire.answer()
        assert answer.status == status
        assert answer.json()["error"]["message"]


async def test_a_chunked_body_that_grows_too_large_is_refused_while_it_comes() -> None:
    async with rig(max_body=1000) as it:
        wire = await it.connect()
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        wire.send(b"200\r\n" + b"x" * 512 + b"\r\n200\r\n" + b"x" * 512 + b"\r\n")
        assert (await wire.answer()).status == 413
        wire.send(b"200\r\n")  # still sending: the answer arrived all the same
        wire.writer.close()


async def test_chunked_request_bodies_are_joined() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(BODY), 7):
            part = BODY[at : at + 7]
            wire.send(b"%x;ext=1\r\n%b\r\n" % (len(part), part))
        wire.send(b"0\r\nTrailer: dropped\r\n\r\n")
        asked = await one.next()
        assert asked.body == BODY
        assert asked.headers()["content-length"] == str(len(BODY))
        assert "trailer" not in asked.head.lower()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        wire.get("/healthz")
        wire.post(PLAIN)
        wire.get("/v1/models")
        wire.send(b"GET /v1/models HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        assert (await wire.answer()).body == b"ok\n"
        (await one.next()).answer_json({"second": True})
        assert (await wire.answer()).json() == {"second": True}
        assert (await wire.answer()).json()["object"] == "list"
        last = await wire.answer()
        assert last.headers["connection"] == "close"
        assert await wire.closed()


async def test_expect_100_continue() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        wire.send(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert await wire.head() == (100, {})
        wire.send(BODY)
        asked = await one.next()
        assert asked.body == BODY
        assert "expect" not in asked.headers()
        asked.answer_json({})
        assert (await wire.answer()).status == 200


async def test_head_requests_get_no_body() -> None:
    async with rig() as it:
        wire = await it.connect()
        wire.send(
            b"HEAD /healthz HTTP/1.1\r\nHost: g\r\n\r\nGET /healthz HTTP/1.1\r\nHost: g\r\n\r\n"
        )
        assert (await wire.head())[1]["content-length"] == "3"
        assert (await wire.answer()).body == b"ok\n"


async def test_an_offer_of_http_2_is_ignored() -> None:
    """Java's HttpClient offers h2c in every first request; httptools stops at such heads."""
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        wire.send(
            HEAD
            + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
        )
        asked = await one.next()
        assert asked.body == BODY
        assert not {"upgrade", "http2-settings", "connection"} & asked.headers().keys()
        asked.answer_json({})
        assert (await wire.answer()).status == 200
        wire.get("/healthz")
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3:4", True), ("x" * 129, False), ("a b", False), ("$(id)", False)]
)
async def test_request_ids_are_kept_when_they_are_sane(given: str, kept: bool) -> None:
    async with rig() as it:
        wire = await it.connect()
        wire.send(f"GET /healthz HTTP/1.1\r\nHost: g\r\nX-Request-Id: {given}\r\n\r\n".encode())
        assert ((await wire.answer()).headers["x-request-id"] == given) is kept


async def test_a_request_that_does_not_arrive_in_time() -> None:
    async with rig(read_timeout=0.0, keepalive=100.0) as it:
        slow, idle = await it.connect(), await it.connect()
        slow.send(HEAD)
        await until(lambda: any(one._reader.in_request for one in it.gateway.clients))
        await asyncio.sleep(0.01)  # what came of it buys it some milliseconds
        it.gateway.tick()
        assert (await slow.answer()).status == 408
        idle.get("/healthz")
        assert (await idle.answer()).status == 200


async def test_idle_connections_are_closed() -> None:
    async with rig(keepalive=0.0) as it:
        wire = await it.connect()
        wire.get("/healthz")
        await wire.answer()
        it.gateway.tick()
        assert await wire.closed()


async def test_too_many_connections() -> None:
    async with rig(max_connections=1) as it:
        first = await it.connect()
        first.get("/healthz")
        assert (await first.answer()).status == 200
        answer = await (await it.connect()).answer()
        assert (answer.status, answer.code) == (503, "too_many_connections")


async def test_a_drain_serves_what_is_on_its_way_and_then_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.gateway.server.PARTING", -1.0)
    async with engine() as one, rig() as it:
        it.replicas(one)
        running, late, idle = await it.post(PLAIN), await it.connect(), await it.connect()
        asked = await one.next()
        await until(lambda: len(it.gateway.clients) == 3)
        it.gateway.drain()
        late.send(HEAD)
        late.send(b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY))
        (await one.next()).answer_json({})
        answer = await late.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await late.closed()
        it.gateway.tick()
        assert await idle.closed()
        asked.answer_json({})
        assert (await running.answer()).status == 200
        await until(it.gateway.empty.is_set)


async def test_a_stream_that_began_before_a_drain_leaves_time_for_one_more_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wires = [await it.post(STREAM) for _ in range(2)]
        asked = [await one.next() for _ in wires]
        for each, wire in zip(asked, wires, strict=True):
            each.start_stream()
            each.send_chunk(token("a"))
            assert "connection" not in (await wire.head())[1]  # so clients may reuse it
        it.gateway.drain()
        for each, wire in zip(asked, wires, strict=True):
            each.send_chunk(token("b", "stop"))
            each.end_stream()
            assert (await wire.chunks()).endswith(b"data: [DONE]\n\n")
        again, silent = wires
        again.get("/v1/models")
        answer = await again.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await again.closed()
        it.gateway.tick()
        assert len(it.gateway.clients) == 1
        monkeypatch.setattr("headrace.gateway.gateway.monotonic", lambda: monotonic() + 1.1)
        it.gateway.tick()
        assert await silent.closed()


async def test_stopping_fails_what_still_runs_in_band() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        (await one.next()).start_stream()
        await wire.head()
        it.gateway.stop()
        body = await wire.chunks()
        assert b'"code":"drain_timeout"' in body
        assert b"[DONE]" not in body


TOKENS = st.sampled_from(
    [
        HEAD, BODY, b"GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n", b"\r\n", b"Host: g\r\n", b"0\r\n\r\n",
        b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"CONNECT a:1 HTTP/1.1\r\n", b"5\r\nhello\r\n",
        b"POST /v1/models HTTP/1.0\r\n", b"Connection: close\r\n", b"\x00", b"\xff" * 9,
    ]
)  # fmt: skip


@given(pieces=st.lists(st.one_of(TOKENS, st.binary(max_size=30)), max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_answered_or_closed(pieces: list[bytes]) -> None:
    """Never a crash, never a success that was not asked for, and the gateway lives on."""

    async def run() -> None:
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: problems.append(what))
        async with rig(queue_limit=0, read_timeout=5.0) as it:
            wire = await it.connect()
            for piece in pieces:
                wire.send(piece)
            wire.writer.write_eof()
            data = await soon(_all(wire))
            for line in data.split(b"HTTP/1.1 ")[1:]:
                assert line[:3] == b"200" or line[:3] == b"100" or line[:1] in b"45"
            after = await it.connect()
            after.get("/healthz")
            assert (await after.answer()).status == 200
        assert problems == []

    asyncio.run(run())


async def _all(wire: Wire) -> bytes:
    try:
        return await wire.reader.read()
    except ConnectionError:
        return b""


async def test_keep_alive_after_every_kind_of_answer() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        for _ in range(2):
            wire.post(PLAIN | {"model": "nobody"})
            assert (await wire.answer()).status == 404
            wire.post(PLAIN)
            asked = await one.next()
            asked.answer_json({})
            assert (await wire.answer()).status == 200
