"""Waiting: held, queued, refused, bound late."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import DONE, PLAIN, STREAM, Rig, engine, rig, token, until

from headrace.gateway import control
from headrace.gateway.gateway import Timing


async def waiting(it: Rig, count: int) -> None:
    await until(lambda: it.lane().queue.waiting == count)


async def test_held_work_goes_to_a_replica_the_moment_it_appears(tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        wires = [await it.post(PLAIN) for _ in range(3)]
        await waiting(it, 3)
        demand = it.demand()
        assert (demand.held, demand.queued, demand.running, demand.arrived) == (3, 0, 0, 3)
        it.replicas(one)
        for wire in wires:
            (await one.next()).answer_json({"choices": []})
            answer = await wire.answer()
            assert answer.status == 200
            assert answer.headers["x-headrace-queued-ms"] == "0"
        for record in it.records_written():
            assert record["held_s"] > 0
            assert record["queued_s"] == pytest.approx(0, abs=1e-3)


async def test_a_new_replica_takes_queued_work_at_once(tmp_path: Path) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, room=1)
        first = await it.post(PLAIN)
        await one.next()
        second = await it.post(PLAIN)
        await waiting(it, 1)
        assert (it.demand().held, it.demand().queued, it.demand().running) == (0, 1, 1)
        it.replicas(one, two, room=1)
        (await two.next()).answer_json({"choices": []})
        assert (await second.answer()).headers["x-headrace-replica"] == f"d-{two.port}"
        (record,) = it.records_written()
        assert record["queued_s"] > 0
        assert record["held_s"] == 0
        assert first.reader.at_eof() is False


async def test_first_come_first_served() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one, room=1)
        wires = []
        for number in range(4):
            wires.append(await it.post(PLAIN | {"number": number}))
            await until(lambda: it.demand().arrived == len(wires))
        for number, wire in enumerate(wires):
            asked = await one.next()
            assert f'"number": {number}'.encode() in asked.body
            asked.answer_json({"choices": []})
            assert (await wire.answer()).status == 200


async def test_a_draining_replica_gets_nothing_new_but_keeps_what_it_has() -> None:
    async with engine() as one, rig() as it:
        it.replicas(one)
        running = await it.post(PLAIN)
        asked = await one.next()
        it.replicas(one, state="draining")
        await it.post(PLAIN)
        await waiting(it, 1)
        assert it.demand().held == 1
        it.replicas()
        assert it.demand().replicas == {f"d-{one.port}": 1}
        asked.answer_json({"choices": []})
        assert (await running.answer()).status == 200
        await until(lambda: it.demand().replicas == {})
        assert one.asked.empty()


async def test_a_full_queue_refuses_with_retry_after(tmp_path: Path) -> None:
    async with rig(queue_limit=1, records=tmp_path / "log") as it:
        it.replicas(hint="loading weights", expected_ready=17.2)
        await it.post(PLAIN)
        await waiting(it, 1)
        answer = await (await it.post(PLAIN)).answer()
        assert (answer.status, answer.code) == (429, "queue_full")
        assert answer.headers["retry-after"] == "18"  # until the replica is ready, rounded up
        (record,) = it.records_written()
        assert (record["outcome"], record["error"]) == ("refused", "queue_full")


async def test_waiting_too_long_is_refused_with_the_hint() -> None:
    async with rig(max_wait=0.0) as it:
        it.replicas(hint="the weights are still being loaded")
        answer = await (await it.post(PLAIN)).answer()
        assert (answer.status, answer.code) == (503, "waited_too_long")
        assert "the weights are still being loaded" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) >= 1


async def test_streaming_clients_hear_comments_while_they_wait() -> None:
    timing = Timing(comment_first=0.0, comment_every=0.001)
    async with engine() as one, rig(timing=timing) as it:
        wire = await it.post(STREAM)
        status, headers = await wire.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        for _ in range(3):
            assert (await wire.chunk()).startswith(b": ")
        it.replicas(one)
        asked = await one.next()
        asked.start_stream()
        asked.send_chunk(token("a"))
        asked.send_chunk(token("b", "stop"))
        asked.end_stream()
        events = [event for event in (await wire.chunks()).split(b"\n\n") if event]
        said = [event + b"\n\n" for event in events if not event.startswith(b":")]
        assert said == [token("a"), token("b", "stop"), DONE]
        assert not {"x-headrace-replica", "x-headrace-held-ms"} & set(headers)  # not known then
        comments = [event for event in events if event.startswith(b":")]
        assert comments[-1].startswith(b": served by ")
        assert b" ms, queued 0 ms" in comments[-1]


async def test_after_comments_a_failure_is_an_event_without_done(tmp_path: Path) -> None:
    timing = Timing(comment_first=0.0, comment_every=60.0)
    async with rig(timing=timing, records=tmp_path / "log") as it:
        wire = await it.post(STREAM)
        assert (await wire.head())[0] == 200
        assert (await wire.chunk()).startswith(b":")
        it.gateway.configure(_without_deployments())
        body = await wire.chunks()
        assert body.startswith(b'data: {"error":')
        assert b'"code":"removed"' in body
        assert b"[DONE]" not in body
        assert await wire.closed()


async def test_after_comments_an_engine_error_is_an_event_without_done() -> None:
    timing = Timing(comment_first=0.0, comment_every=60.0)
    async with engine() as one, rig(timing=timing) as it:
        wire = await it.post(STREAM)
        await wire.head()
        await wire.chunk()
        it.replicas(one)
        (await one.next()).answer_json({"error": {"message": "too long"}}, "400 Bad Request")
        body = await wire.chunks()
        assert b"too long" in body
        assert b"[DONE]" not in body


def _without_deployments() -> control.Configure:
    return control.Configure(routes=(), deployments=())
