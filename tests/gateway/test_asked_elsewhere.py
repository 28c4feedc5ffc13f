"""Requests leave a replica that answers nothing, or is to be left; nothing of them stays behind."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
from continuing_kit import (
    begin,
    goes_on,
    rest,
    role,
)
from harness import (
    DONE,
    PLAIN,
    STREAM,
    Rig,
    engine,
    rig,
    token,
    until,
)


def fates(it: Rig) -> list[str | None]:
    return [one["fate"] for one in it.records_written()[0]["tried"]]


async def test_nothing_begun_is_begun_again_from_the_start(tmp_path: Path) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, two)
        wire = await it.post(STREAM)
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("", "abort"))  # a draining engine's refusal: 200, no text, abort
        asked.end_stream()
        again = await two.next()
        assert json.loads(again.body)["messages"] == STREAM["messages"]
        again.start_stream()
        for event in (role(), token("a", "stop")):
            again.send_chunk(event)
        again.end_stream()
        await wire.head()
        assert await rest(wire) == [role(), token("a", "stop"), DONE]
        assert fates(it) == ["aborted", None]


@pytest.mark.parametrize(
    ("bad", "fate"),
    [
        ({"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]}, "aborted"),
        ({"error": {"message": "EngineCore encountered an issue", "code": 500}}, "failed"),
    ],
)
async def test_a_whole_answer_that_is_none_is_asked_for_elsewhere(
    tmp_path: Path, bad: Any, fate: str
) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, two)
        wire = await it.post(PLAIN)
        status = "500 Internal Server Error" if "error" in bad else "200 OK"
        (await one.next()).answer_json(bad, status)
        (await two.next()).answer_json({"choices": [{"finish_reason": "stop"}]})
        answer = await wire.answer()
        assert answer.status == 200
        assert answer.headers["x-headrace-replica"] == f"d-{two.port}"
        assert answer.headers["x-headrace-attempts"] == "2"
        assert fates(it) == [fate, None]


async def test_an_abort_that_no_other_replica_is_there_for_keeps_its_fate(tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        bad = {"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]}
        for _ in range(6):
            (await one.next()).answer_json(bad)
        assert (await wire.answer()).status == 200
        assert fates(it) == ["aborted"] * 6
        assert it.records_written()[0]["outcome"] == "abort"


async def test_a_whole_answer_cut_in_the_middle_is_asked_for_elsewhere() -> None:
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        wire = await it.post(PLAIN)
        asked = await one.next()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
        asked.send(head + b'{"choices":')
        asked.writer.close()
        (await two.next()).answer_json({"choices": []})
        assert (await wire.answer()).json() == {"choices": []}


async def test_the_last_engines_word_is_passed_on_when_all_refuse() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        wire = await it.post(PLAIN)
        for _ in range(3):
            (await one.next()).answer_json({"error": {"message": "no"}}, "500 Internal Error")
        answer = await wire.answer()
        assert (answer.status, answer.json()) == (500, {"error": {"message": "no"}})


async def test_a_silent_replica_is_left_and_reported() -> None:
    async with engine() as one, engine() as two, rig(silence=7.0) as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token(" a")])
        (client,) = it.gateway.clients
        assert client.exchange is not None
        now = asyncio.get_running_loop().time()
        client.exchange.tick(now)
        client.exchange.tick(now + 5.5)
        assert [fault.what for fault in it.faults()] == ["was silent for 6 s while it had work"]
        assert two.connections == 0
        client.exchange.tick(now + 7.5)
        again = await two.next()
        await asked.hung_up()
        goes_on(again, token(" b", "stop"))
        assert await rest(wire) == [token(" b", "stop"), DONE]


@pytest.mark.parametrize(
    ("state", "after", "why", "fate"),
    [
        ("leaving", 0.0, "is to be left", "moved"),
        ("failed", 2.5, "was silent for 2 s", "silent"),
    ],
)
async def test_work_leaves_a_replica_that_is_to_be_left(
    tmp_path: Path, state: str, after: float, why: str, fate: str
) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token(" a")])
        it.replicas(one, two, states={one.port: state})
        (client,) = it.gateway.clients
        assert client.exchange is not None
        now = asyncio.get_running_loop().time()
        client.exchange.tick(now)
        client.exchange.tick(now + after)
        again = await two.next()
        await asked.hung_up()
        goes_on(again, token(" b", "stop"))
        assert await rest(wire) == [token(" b", "stop"), DONE]
        tries = [one["outcome"] for one in it.records_written()[0]["tried"]]
        assert tries == [why, "ok"]
        assert fates(it) == [fate, None]


async def test_a_refusal_to_continue_is_told(tmp_path: Path) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token(" a")])
        asked.writer.close()
        (await two.next()).answer_json({"error": {"message": "too long"}}, "400 Bad Request")
        (event,) = await rest(wire)
        assert "too long" in json.loads(event[5:])["error"]["message"]
        assert it.records_written()[0]["outcome"] == "engine_refused"


@pytest.mark.parametrize("broken", [True, False])
async def test_a_finished_request_is_freed_without_the_garbage_collector(broken: bool) -> None:
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token(" a")])
        (client,) = it.gateway.clients
        exchange = weakref.ref(client.exchange)
        gc.disable()
        try:
            if broken:
                asked.writer.close()
                asked = await two.next()
                asked.start_stream()
            asked.send_chunk(token(" b", "stop"))
            asked.end_stream()
            assert (await rest(wire))[-1] == DONE
            await until(lambda: exchange() is None)
        finally:
            gc.enable()
