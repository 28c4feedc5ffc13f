"""What one client, or all together, may make the gateway hold, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
from guarded import guard
from harness import PLAIN, STREAM, Rig, Wire, engine, rig, soon, token, until

from headrace.gateway.server import Client

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n"


async def settled(it: Rig) -> None:
    """Wait until the gateway has read and written what it can."""
    (client,) = it.gateway.clients
    before: object = None
    while True:
        now = (
            len(client._unparsed),
            client._transport.get_write_buffer_size(),
            client._reader.size,
        )
        if now == before:
            return
        before = now
        await asyncio.sleep(0.02)


# -- all bodies together ------------------------------------------------------------------------


async def test_bodies_of_all_clients_are_bounded_before_they_are_read() -> None:
    async with engine() as one, rig(max_bodies=1000) as it:
        held = await it.post(PLAIN | {"user": "x" * 600})  # no replica: it waits
        await until(lambda: it.demand().held)
        late = await it.connect()
        late.send(HEAD + b"Content-Length: 600\r\n\r\n")  # and not a byte of it
        refused = await late.answer()
        assert (refused.status, refused.code) == (503, "too_much_in_flight")
        assert refused.headers["retry-after"] == "1"
        assert await late.closed()
        held.writer.close()
        await until(lambda: not it.gateway.admission.bodies)
        it.replicas(one)
        wire = await it.post(PLAIN | {"user": "x" * 600})
        (await one.next()).answer_json({})
        assert (await wire.answer()).status == 200
        assert it.gateway.admission.bodies == 0


async def test_a_chunked_body_is_counted_as_it_comes() -> None:
    async with rig(max_bodies=1000) as it:
        wire = await it.connect()
        wire.send(CHUNKED + b"320\r\n" + b"x" * 800 + b"\r\n")
        await until(lambda: it.gateway.admission.bodies == 800)
        wire.send(b"320\r\n" + b"x" * 800)
        assert (await wire.answer()).code == "too_much_in_flight"
        assert it.gateway.admission.bodies == 0


async def test_what_an_announced_body_does_not_send_is_not_held() -> None:
    """Else a few liars could shut everybody out."""
    async with engine() as one, rig(max_bodies=1000) as it:
        it.replicas(one)
        liars = [await it.connect() for _ in range(20)]
        for liar in liars:
            liar.send(HEAD + b"Content-Length: 900\r\n\r\n")
        wire = await it.post(PLAIN)
        (await one.next()).answer_json({})
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize("ending", ["close", "garbage", "time"])
async def test_an_unfinished_body_is_given_back(ending: str) -> None:
    async with rig(read_timeout=0.0) as it:
        wire = await it.connect()
        wire.send(CHUNKED + b"5\r\nhello\r\n")
        await until(lambda: it.gateway.admission.bodies == 5)
        if ending == "close":
            wire.writer.close()
        elif ending == "garbage":
            wire.send(b"zz\r\n")
        else:
            await asyncio.sleep(0.01)
            it.gateway.tick()
        await until(lambda: it.gateway.admission.bodies == 0)


async def test_waiting_requests_of_a_client_that_hangs_up_are_given_back() -> None:
    async with rig() as it:
        wire = await it.connect()
        for _ in range(4):
            wire.post(PLAIN)
        await until(lambda: it.gateway.admission.bodies > 100)
        wire.writer.close()
        await until(lambda: it.gateway.admission.bodies == 0)


async def test_many_small_chunks_make_the_same_body() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        body = b'{"model":"m","messages":"' + b"x" * 5000 + b'"}'
        wire = await it.connect()
        pieces = [body[at : at + 11] for at in range(0, len(body), 11)]
        wire.send(CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n")
        asked = await one.next()
        assert asked.body == body
        asked.answer_json({})
        assert (await wire.answer()).status == 200


# -- one connection -----------------------------------------------------------------------------


async def test_a_client_that_asks_and_never_reads_is_held_to_little() -> None:
    """2 MB of requests would make 14 MB of answers."""
    async with rig(write_timeout=0.0) as it:
        wire = await it.connect()
        wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.reader._limit = 1024  # type: ignore[attr-defined]  # asyncio then stops reading
        await until(lambda: it.gateway.clients)
        (client,) = it.gateway.clients
        transport = client._transport
        sent = transport.get_extra_info("socket")
        sent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        wire.send(GET * 50_000)
        await until(lambda: client._slow)
        await settled(it)
        assert transport.get_write_buffer_size() < 512 * 1024
        assert len(client._unparsed) < 512 * 1024
        assert len(client._waiting) < 500
        it.gateway.tick()
        await until(lambda: not it.gateway.clients)


async def test_pipelined_requests_behind_a_long_one_wait_unparsed() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect()
        wire.post(STREAM)
        asked = await one.next()
        wire.send(GET * 5000)
        await settled(it)
        (client,) = it.gateway.clients
        assert len(client._waiting) < 500
        asked.start_stream()
        asked.send_chunk(token("a", "stop"))
        asked.end_stream()
        assert b"[DONE]" in (await wire.answer()).body
        for _ in range(5000):
            assert (await wire.answer()).status == 200


async def test_a_pile_of_upgrade_offers_is_answered_one_by_one() -> None:
    async with rig() as it:
        wire = await it.connect()
        offer = b"GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        wire.send(offer * 4000)
        for _ in range(4000):
            assert (await wire.answer()).status == 200


@pytest.mark.parametrize(
    "flood",
    [
        b"1\r\nx\r\n" * 60_000,
        b"5;" + b"a" * 300_000,
        b"".join(b"1;%b\r\nx\r\n" % (b"a" * 1000) for _ in range(300)),
        b"0\r\n" + b"X: y\r\n" * 60_000,
        b"0\r\nX: " + b"y" * 300_000,
    ],
    ids=["tiny chunks", "one extension", "extensions", "trailers", "one trailer"],
)
async def test_framing_without_end_is_refused(flood: bytes) -> None:
    async with rig() as it:
        wire = await it.connect()
        wire.send(CHUNKED + flood)
        answer = await wire.answer()
        assert (answer.status, answer.code) == (400, "malformed_http")
        assert "framing" in answer.json()["error"]["message"]


# -- time ---------------------------------------------------------------------------------------


async def test_a_stream_that_takes_too_long_fails_in_band() -> None:
    async with engine() as one, rig(total=0.0) as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("a"))
        await wire.head()
        assert await wire.chunk() == token("a")
        it.gateway.tick()
        rest = await wire.chunks()
        assert b'"code":"took_too_long"' in rest
        assert b"[DONE]" not in rest
        await asked.hung_up()


async def test_a_request_that_takes_too_long_before_its_answer() -> None:
    async with engine() as one, rig(total=0.0) as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        asked = await one.next()
        it.gateway.tick()
        answer = await wire.answer()
        assert (answer.status, answer.code) == (504, "took_too_long")
        await asked.hung_up()
        wire.get("/healthz")
        assert (await wire.answer()).status == 200


async def test_a_client_that_stops_reading_its_stream_is_let_go() -> None:
    async with engine() as one, rig(write_timeout=0.0) as it:
        it.replicas(one)
        wire = await it.connect(limit=1024)
        wire.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        await until(lambda: it.gateway.clients)
        (client,) = it.gateway.clients
        while not client._slow:
            asked.send_chunk(token("x" * 64_000))
            await asyncio.sleep(0)
        it.gateway.tick()
        await asked.hung_up()


async def test_a_client_that_catches_up_keeps_its_stream() -> None:
    async with engine() as one, rig(write_timeout=60.0) as it:
        it.replicas(one)
        wire = await it.connect(limit=1024)
        wire.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        await until(lambda: it.gateway.clients)
        (client,) = it.gateway.clients
        sent = 0
        while not client._slow:
            asked.send_chunk(token("x" * 64_000))
            sent += 1
            await asyncio.sleep(0)
        it.gateway.tick()
        asked.send_chunk(token("", "stop"))
        asked.end_stream()
        assert (await wire.answer()).body.count(b"data: ") == sent + 2


async def test_a_record_says_how_long_the_client_did_not_take_its_answer(tmp_path: Path) -> None:
    async with engine() as one, rig(write_timeout=60.0, records=tmp_path / "log") as it:
        it.replicas(one)
        wire = await it.connect(limit=1024)
        wire.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        await until(lambda: it.gateway.clients)
        (client,) = it.gateway.clients
        assert b'headrace_stalled{deployment="d"} 0.0' in it.gateway.metrics.render()
        while not client._slow:
            asked.send_chunk(token("x" * 64_000))
            await asyncio.sleep(0)
        since = monotonic()
        assert b'headrace_stalled{deployment="d"} 1.0' in it.gateway.metrics.render()
        await asyncio.sleep(0.05)
        least = monotonic() - since
        asked.send_chunk(token("", "stop"))
        asked.end_stream()
        await wire.answer()
        most = monotonic() - since
        await until(lambda: it.demand().running == 0)
        (record,) = it.records_written()
        assert least <= record["stalled_s"] <= most + 0.001
        assert b'headrace_stalled{deployment="d"} 0.0' in it.gateway.metrics.render()


async def test_the_head_has_to_arrive_in_time_however_it_trickles() -> None:
    async with rig(read_timeout=0.0) as it:
        wire = await it.connect()
        wire.send(b"POST /v1/")
        await until(lambda: any(one._reader.in_request for one in it.gateway.clients))
        wire.send(b"completions")
        await asyncio.sleep(0.01)  # what came of it buys it some milliseconds
        it.gateway.tick()
        assert (await wire.answer()).status == 408


async def test_limits_that_change_count_for_new_connections() -> None:
    async with rig() as it:
        guard(it, anybody=True, max_body=10)
        answer = await (await it.post(PLAIN)).answer()
        assert answer.status == 413


# -- the admin address --------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def admin_of(it: Rig) -> AsyncIterator[Wire]:
    """Serve an admin address; give one connection to it."""
    it.gateway.has_admin = True
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(it.gateway, admin=True), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield wire
    finally:
        server.close()
        wire.writer.close()
        await until(lambda: not it.gateway.admins)


async def test_metrics_are_on_the_admin_address_only_and_never_full() -> None:
    async with rig() as it, admin_of(it) as admin:
        guard(it, max_connections=1)  # keys are asked for, and none is known
        first = await it.connect()
        for path, status in (("/metrics", 404), ("/healthz", 200), ("/openapi.json", 200)):
            first.get(path)
            assert (await first.answer()).status == status
        assert (await (await it.connect()).answer()).status == 503
        for path, status in (
            ("/metrics", 200), ("/healthz", 200), ("/readyz", 200), ("/v1/models", 404),
            ("/v1/models/m", 404), ("/openapi.json", 404),
        ):  # fmt: skip
            admin.get(path)
            answer = await admin.answer()
            assert answer.status == status, path
        admin.post(PLAIN)
        assert (await admin.answer()).status == 404
        admin.get("/metrics")
        text = (await admin.answer()).body.decode()
        assert "headrace_tasks" in text
        assert "headrace_body_bytes 0.0" in text
        assert "headrace_connections" in text


async def test_an_admin_connection_does_not_hold_up_a_drain() -> None:
    async with rig() as it, admin_of(it) as admin:
        admin.get("/readyz")
        assert (await admin.answer()).status == 200
        it.gateway.drain()
        await soon(it.gateway.empty.wait())
        admin.get("/readyz")
        answer = await admin.answer()
        assert (answer.status, answer.body) == (503, b"draining\n")
