"""When requests overflow and when they do not, and what a stream that waits is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import STREAM, engine, rig, token, until, usage_event
from many import answer, chat, configure, serve, to

from headrace.gateway.gateway import Timing
from headrace.routing.route import Overflow


async def test_nobody_overflows_into_a_queue_that_is_full() -> None:
    async with engine() as big, rig() as it:
        routes = [to("small", overflow=(Overflow("big", ("down",)),)), to("big", "other", "n")]
        configure(it, routes, settings={"big": {"queue_limit": 1}})
        serve(it, "big", big, room=1)
        full = [await it.post({**chat(), "model": "n"}) for _ in range(2)]
        await until(lambda: it.demand_of("big").queued == 1)
        serve(it, "small", down=True)
        wire = await it.post(chat())
        await until(lambda: it.demand_of("small").held == 1)
        for one in full:
            await answer(big)
            await one.answer()
        it.gateway.tick()
        await answer(big)
        assert (await wire.answer()).headers["x-headrace-fallback"] == "down from small"


async def test_a_deployment_that_the_runtime_said_nothing_of_yet_is_not_down() -> None:
    async with engine() as one, engine() as big, rig() as it:
        configure(it, [to("small", overflow=(Overflow("big", ("down", "cold")),))])
        serve(it, "big", big)
        wire = await it.post(chat())
        await until(lambda: it.demand_of("small").held == 1)
        serve(it, "small", one)
        await answer(one)
        assert (await wire.answer()).headers["x-headrace-deployment"] == "small"


async def test_a_stream_that_was_told_to_wait_says_where_it_goes() -> None:
    async with engine() as big, rig(timing=Timing(0.0, 60.0)) as it:
        configure(it, [to("small", overflow=(Overflow("big", ("down",)),))])
        serve(it, "small", coming=True)
        serve(it, "big", big)
        wire = await it.post(STREAM)
        assert (await wire.head())[0] == 200
        assert b"waiting" in await wire.chunk()
        serve(it, "small", down=True)
        it.gateway.tick()
        assert await wire.chunk() == b": goes to big, as small is down\n\n"
        asked = await big.next()
        asked.answer_json({"error": "no"}, "400 Bad Request")
        rest = await wire.chunks()
        assert rest.count(b"data: ") == 1
        assert b"The engine answered 400" in rest


@pytest.mark.parametrize("size", [20, 5_000_000])
async def test_words_that_are_no_stream_never_get_into_one(size: int) -> None:
    async with engine() as one, rig(timing=Timing(0.0, 60.0)) as it:
        configure(it, [to("d")])
        wire = await it.post(STREAM)
        await wire.head()
        await wire.chunk()
        serve(it, "d", one)
        asked = await one.next()
        text = b"Nothing " * (size // 8)
        asked.finished = True
        asked.send(b"HTTP/1.1 400 No\r\ncontent-type: text/plain\r\n")
        asked.send(b"content-length: %d\r\n\r\n%b" % (len(text), text))
        rest = await wire.chunks()
        assert b"HTTP/1.1" not in rest
        assert json.loads(rest.split(b"data: ")[-1])["error"]["type"] == "upstream_error"


async def test_one_request_that_is_held_spills_over_and_is_continued(tmp_path: Path) -> None:
    async with (
        engine() as own,
        engine() as two,
        engine() as three,
        rig(records=tmp_path / "r") as it,
    ):
        configure(it, [to("own", overflow=(Overflow("spare", ("queue",), after=0.0),))])
        serve(it, "own", coming=True)
        serve(it, "spare", coming=True)
        first = await it.post(chat())
        wire = await it.post(chat(stream=True))
        await until(lambda: it.demand_of("own").held == 2)
        serve(it, "own", own, room=1)
        busy = await own.next()
        serve(it, "spare", two, three)
        it.gateway.tick()
        asked = await two.next()
        asked.start_stream()
        asked.send_chunk(token("Once "))
        head = (await wire.head())[1]
        assert head["x-headrace-fallback"] == "queue from own"
        await wire.chunk()
        asked.writer.close()
        again = await three.next()
        again.start_stream()
        for event in (token("upon"), token("", "stop"), usage_event(12, 2)):
            again.send_chunk(event)
        again.end_stream()
        await wire.chunks()
        busy.answer_json({"choices": []})
        await first.answer()
        record = it.records_written()[0]
        assert (record["variant"], record["deployment"], record["replica"]) == (
            "own",
            "spare",
            "spare-2",
        )
        assert list(record["fallbacks"]) == [{"cause": "queue", "origin": "own"}]
        assert (record["outcome"], record["attempts"], record["continuations"]) == ("ok", 2, 1)
        assert min(record["held_s"], record["queued_s"]) > 0
        assert [one["replica"] for one in record["tried"]] == ["spare-1", "spare-2"]
