"""Clients that hang up, replicas that refuse or break off, and readers that are slow."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from harness import DONE, PLAIN, STREAM, Engine, engine, rig, soon, token, until

from headrace.gateway import service
from headrace.gateway.relay import PlainRelay


async def test_a_client_that_hangs_up_while_waiting_leaves_the_queue(tmp_path: Path) -> None:
    async with rig(records=tmp_path / "log") as it:
        wire = await it.post(PLAIN)
        await until(lambda: it.demand().held == 1)
        wire.writer.close()
        await until(lambda: it.demand().held == 0)
        assert it.records_written()[0]["outcome"] == "client_gone"


async def test_a_client_that_hangs_up_stops_the_engine(tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("a"))
        await wire.head()
        wire.writer.transport.abort()
        await asked.hung_up()
        await until(lambda: it.demand().running == 0)
        (record,) = it.records_written()
        assert (record["outcome"], record["status"]) == ("client_gone", 200)


@pytest.mark.parametrize(("last", "outcome"), [(DONE, "ok"), (token("b"), "client_gone")])
async def test_a_client_that_closes_at_done_had_a_whole_answer(
    tmp_path: Path, last: bytes, outcome: str
) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("a"))
        await wire.head()
        assert await wire.chunk() == token("a")
        asked.send_chunk(token("z", "stop"))
        asked.send_chunk(last)
        got = b""
        while last not in got:
            got += await wire.chunk()
        wire.writer.transport.abort()  # before the body's last chunk
        await until(lambda: it.demand().running == 0)
        assert it.records_written()[0]["outcome"] == outcome


async def test_a_client_that_hangs_up_before_the_answer_stops_the_engine() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        asked = await one.next()
        wire.writer.close()
        await asked.hung_up()
        await until(lambda: it.demand().running == 0)


async def test_a_replica_that_closes_before_the_first_byte_is_passed_over(tmp_path: Path) -> None:
    async with engine() as bad, engine() as good, rig(records=tmp_path / "log") as it:
        bad.refuse = True
        it.replicas(bad, good)
        wire = await it.post(PLAIN)
        (await good.next()).answer_json({"choices": []})
        answer = await wire.answer()
        assert answer.headers["x-headrace-replica"] == f"d-{good.port}"
        assert answer.headers["x-headrace-attempts"] == "2"
        assert [fault.replica for fault in it.faults()] == [f"d-{bad.port}"]
        assert it.demand().running == 0


async def test_a_replica_that_is_not_there_is_passed_over() -> None:
    async with engine() as good, rig() as it:
        it.replicas(Engine(port=_closed_port()), good)
        wire = await it.post(PLAIN)
        (await good.next()).answer_json({"choices": []})
        assert (await wire.answer()).headers["x-headrace-attempts"] == "2"
        assert "does not accept connections" in it.faults()[0].what


async def test_a_request_that_breaks_two_replicas_gets_no_third(tmp_path: Path) -> None:
    async with (
        engine() as one, engine() as two, engine() as three, rig(records=tmp_path / "log") as it
    ):  # fmt: skip
        one.refuse = two.refuse = three.refuse = True
        it.replicas(one, two, three)
        answer = await (await it.post(STREAM)).answer()
        assert (answer.status, answer.code) == (502, "poison")
        assert sorted((one.connections, two.connections, three.connections)) == [0, 1, 1]
        assert len(it.faults()) == 2
        (record,) = it.records_written()
        assert (record["outcome"], record["attempts"]) == ("poison", 2)


async def test_replicas_that_take_no_connection_are_tried_six_times(tmp_path: Path) -> None:
    async with rig(records=tmp_path / "log") as it:
        it.replicas(*(Engine(port=_closed_port()) for _ in range(6)))
        answer = await (await it.post(PLAIN)).answer()
        assert (answer.status, answer.code) == (502, "upstream_broke")
        assert it.records_written()[0]["attempts"] == 6


async def test_a_stale_connection_is_no_fault_of_the_replica() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        asked = await one.next()
        asked.answer_json({"choices": []}, finish=False)
        await wire.answer()
        wire.post(PLAIN)
        assert (await asked.reader.readuntil(b"\r\n\r\n")).startswith(b"POST")
        asked.writer.close()  # as a server does whose keep-alive time is over
        (await one.next()).answer_json({"choices": []})
        answer = await wire.answer()
        assert (answer.status, answer.headers["x-headrace-attempts"]) == (200, "1")
        assert it.faults() == []
        assert one.connections == 2


async def test_a_plain_answer_that_breaks_off_is_visibly_incomplete() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        asked = await one.next()
        asked.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await wire.head()
        asked.writer.close()
        assert await wire.reader.read() == b"half"


async def test_a_malformed_answer_is_a_502() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        for _ in range(2):
            (await one.next()).send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        answer = await wire.answer()
        assert (answer.status, answer.code) == (502, "poison")
        assert "malformed response head" in answer.json()["error"]["message"]


async def test_malformed_chunks_break_the_stream_and_are_not_passed_on() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("a"))
        await wire.head()
        assert await wire.chunk() == token("a")
        asked.send(b"-5\r\nhello\r\n")
        again = await one.next()
        again.start_stream()
        again.send(b"-5\r\nhello\r\n")
        rest = await wire.chunks()
        assert b"malformed body" in rest
        assert b"hello" not in rest


async def test_a_slow_client_stops_the_engine_and_loses_nothing() -> None:
    """40 MB are more than all socket buffers on the way; the gateway keeps less than one."""
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.connect(limit=1024)  # reads nothing ahead
        wire.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        event = token("x" * 64_000)
        for _ in range(640):
            asked.send_chunk(event)
        asked.send_chunk(token("", "stop"))
        asked.end_stream()
        (client,) = it.gateway.clients
        engine_holds = asked.writer.transport.get_write_buffer_size
        gateway_holds = client._transport.get_write_buffer_size
        await until(gateway_holds)
        before = -1
        while before != engine_holds():  # until nothing moves any more
            before = engine_holds()
            await asyncio.sleep(0.02)
        assert engine_holds() > 1_000_000
        assert gateway_holds() < 1_000_000
        assert (await wire.answer()).body == event * 640 + token("", "stop") + DONE


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_a_mistake_of_ours_hangs_up_instead_of_leaving_a_client_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever raises while an engine's bytes are handled; here the reading of an answer."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(service._own_mistake)
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        asked = await one.next()
        monkeypatch.setattr(PlainRelay, "read", lambda _: 1 / 0)
        asked.answer_json({"choices": []})
        assert await soon(wire.reader.read()) == b""
        assert it.demand().running == 0
