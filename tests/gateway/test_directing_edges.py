"""What directing does when things change under a request, or are not what they should be."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
from harness import STREAM, engine, rig, soon, token, until, usage_event
from many import answer, configure, serve, to

from headrace.gateway import answer as answer_module
from headrace.gateway import control
from headrace.gateway.direction import Direction
from headrace.gateway.gateway import Timing
from headrace.routing.route import Limits, Overflow, Range, Route, Rule, Shadow, Variant


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


NEAR = Rule(models=("m",), prompt=Range(most=110))
"""A bound at which a prompt of `CLOSE` has to be counted: 400 bytes are about 100 tokens."""
CLOSE = "x" * 360


# -- reloads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", [False, True])
async def test_a_replica_that_breaks_after_its_deployment_went_leaves_nobody_waiting(
    overflow: bool,
) -> None:
    ways = (Overflow("b", ("down",)),) if overflow else ()
    async with engine() as one, engine() as two, rig() as it:
        configure(it, [to("a", overflow=ways), to("b", "other", "n")])
        serve(it, "a", one)
        serve(it, "b", two)
        wire = await it.post(chat())
        asked = await one.next()
        configure(it, [to("b")])
        asked.writer.close()
        if overflow:
            await answer(two)
            assert (await wire.answer()).headers["x-headrace-fallback"] == "down from a"
        else:
            assert (await wire.answer()).code == "removed"


async def test_one_that_waits_for_a_deployment_that_goes_may_overflow() -> None:
    async with engine() as two, rig() as it:
        configure(it, [to("a", overflow=(Overflow("b", ("down",)),))])
        serve(it, "b", two)
        serve(it, "a", coming=True)
        wire = await it.post(chat())
        await until(lambda: it.demand_of("a").held == 1)
        configure(it, [to("b")])
        await answer(two)
        assert (await wire.answer()).headers["x-headrace-deployment"] == "b"


async def test_the_next_request_of_a_client_that_was_sent_away_finds_the_new_deployment() -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("old")])
        wire = await it.post(chat("first"))
        wire.post(chat("second"))
        await until(lambda: it.demand_of("old").held == 1)
        configure(it, [to("new")])
        assert (await wire.answer()).code == "removed"
        await until(lambda: it.demand_of("new").held == 1)
        serve(it, "new", one)
        await answer(one)
        assert (await wire.answer()).headers["x-headrace-deployment"] == "new"


# -- overflow ---------------------------------------------------------------------------------


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


# -- shadows ----------------------------------------------------------------------------------


async def test_a_request_that_its_limits_refuse_has_no_copy() -> None:
    async with engine() as one, engine() as trial, rig() as it:
        limits = (Limits(requests_per_minute=1, max_output=7),)
        configure(it, [to("d", shadow=Shadow("trial", 1.0), limits=limits)])
        serve(it, "d", one)
        serve(it, "trial", trial)
        one.echo = True
        assert (await (await it.post(chat())).answer()).status == 200
        copied = await trial.next()
        assert json.loads(copied.body)["max_tokens"] == 7
        copied.answer_json({"choices": []})
        await until(lambda: not it.gateway._copies)
        assert (await (await it.post(chat())).answer()).status == 429
        assert not it.gateway._copies
        assert trial.asked.empty()


async def test_a_shadow_whose_deployment_goes_harms_nobody() -> None:
    async with engine() as one, engine() as trial, rig() as it:
        configure(it, [to("d", shadow=Shadow("trial", 1.0))])
        serve(it, "d", one)
        serve(it, "trial", trial)
        wire = await it.post(chat())
        copied = await trial.next()
        configure(it, [to("d")])
        copied.writer.close()
        await until(lambda: not it.gateway._copies)
        await answer(one)
        assert (await wire.answer()).status == 200


# -- nothing is kept --------------------------------------------------------------------------


async def test_copies_and_counted_requests_are_freed_at_once() -> None:
    async with engine() as one, engine() as trial, rig() as it:
        near = to("d", "near", rule=NEAR, shadow=Shadow("trial", 1.0))
        configure(it, [near, to("d", "long")])
        serve(it, "d", one)
        serve(it, "trial", trial)
        gc.collect()
        gc.disable()
        try:
            wire = await it.post(chat(CLOSE))
            counting = await one.next()
            refs = [weakref.ref(client.exchange) for client in it.gateway.clients]
            refs += [weakref.ref(ref()._count) for ref in refs]
            counting.answer_json({"count": 90})
            await answer(trial)
            refs += map(weakref.ref, it.gateway._copies)
            await answer(one)
            await wire.answer()
            await until(lambda: not it.gateway._copies)
            await until(lambda: not [ref for ref in refs if ref() is not None])
        finally:
            gc.enable()


# -- counting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [{"count": -111}, {"count": 10**12}, {"count": None}, {}, [], "no", {"count": 1.5}]
)
async def test_an_absurd_count_is_not_believed(said: Any) -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", "short", rule=NEAR), to("d", "long")])
        serve(it, "d", one)
        wire = await it.post(chat(CLOSE))
        (await one.next()).answer_json(said)
        await answer(one)
        assert (await wire.answer()).headers["x-headrace-route"] == "short"


async def test_a_client_that_hangs_up_while_it_is_counted_leaves_nothing() -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", rule=NEAR, limits=(Limits(concurrency=1),)), to("d", "long")])
        serve(it, "d", one)
        wire = await it.post(chat(CLOSE))
        counting = await one.next()
        wire.writer.close()
        await counting.hung_up()
        await until(lambda: not it.gateway.clients)
        demand = it.demand_of("d")
        assert (demand.running, demand.arrived) == (0, 0)


async def test_a_replica_that_breaks_while_it_counts_leaves_the_estimate() -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", "short", rule=NEAR), to("d", "long")])
        serve(it, "d", one)
        wire = await it.post(chat(CLOSE))
        (await one.next()).writer.close()
        await answer(one)
        assert (await wire.answer()).headers["x-headrace-route"] == "short"


async def test_what_is_to_be_embedded_is_what_is_counted() -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", "short", rule=NEAR), to("d", "long")])
        serve(it, "d", one)
        wire = await it.post({"model": "m", "input": "x" * 400}, "/v1/embeddings")
        counting = await one.next()
        assert json.loads(counting.body)["prompt"] == "x" * 400
        counting.answer_json({"count": 50})
        await answer(one, data=[])
        assert (await wire.answer()).headers["x-headrace-route"] == "short"


# -- our own mistakes -------------------------------------------------------------------------


async def hung_up(wire: Any) -> None:
    assert await soon(wire.reader.read()) == b""


async def test_a_mistake_of_ours_after_a_count_hangs_up(monkeypatch: Any) -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", "short", rule=NEAR), to("d", "long")])
        serve(it, "d", one)

        def fail(_: object) -> Direction:
            raise ValueError("a mistake")

        monkeypatch.setattr(it.gateway.director, "direct", fail)
        wire = await it.post(chat(CLOSE))
        (await one.next()).answer_json({"count": 50})
        await hung_up(wire)


async def test_a_mistake_with_one_request_does_not_reach_whose_end_made_room_for_it(
    monkeypatch: Any,
) -> None:
    real = answer_module.outgoing

    def fail(request: Any, *rest: Any) -> Any:
        if b"pill" in request.body:
            raise ValueError("a mistake")
        return real(request, *rest)

    monkeypatch.setattr(answer_module, "outgoing", fail)
    async with engine() as one, rig() as it:
        configure(it, [to("d", limits=(Limits(concurrency=3),))])
        serve(it, "d", one, room=1)
        first = await it.post(chat("first"))
        asked = await one.next()
        pill = await it.post(chat("pill"))
        await until(lambda: it.demand_of("d").queued == 1)
        last = await it.post(chat("last"))
        await until(lambda: it.demand_of("d").queued == 2)
        asked.answer_json({"choices": []})
        assert (await first.answer()).status == 200
        await hung_up(pill)
        await answer(one)
        assert (await last.answer()).status == 200
        more = [await it.post(chat("more")) for _ in range(3)]
        for _ in more:
            await answer(one)
        assert [(await wire.answer()).status for wire in more] == [200] * 3


# -- odd input --------------------------------------------------------------------------------


async def test_however_deep_a_body_is_it_is_refused_or_served() -> None:
    """What can be read once can be read again, from deeper in the stack: when it is sent on."""
    async with engine() as one, rig() as it:
        configure(it, [to("d", limits=(Limits(max_output=7),))])
        serve(it, "d", one, names=("own",))
        one.echo = True
        statuses = []
        for depth in range(700, 1000):
            nested = b"[" * depth + b"]" * depth
            wire = await it.post(b'{"x":%b,"messages":%b,"model":"m"}' % (nested, nested))
            statuses.append((await wire.answer()).status)
            wire.writer.close()
        assert set(statuses) == {200, 400}


@pytest.mark.parametrize(
    "fields",
    [
        b'"messages":null', b'"messages":[]', b'"messages":{}', b'"messages":"x"', b'"messages":5',
        b'"messages":[null,[],{"role":5},{"content":{}},{"content":[1,null,{"type":7}]}]',
        b'"prompt":[]', b'"prompt":[[]]', b'"prompt":[1,2,3]', b'"prompt":[[1],[2]]',
        b'"prompt":["a",1,null]', b'"prompt":{}', b'"input":["a","b"]', b'"input":[[1]]',
        b'"prompt":"a","input":"b","messages":[{"role":"user","content":"c"}],"tools":5',
        b'"max_tokens":-1', b'"max_tokens":0', b'"max_tokens":999999999999999999999999',
        b'"n":0', b'"stream":false,"stream_options":null', b'"model":"m"',
        b'"messages":[' + b"1," * 300_000 + b"1]",
        b'"messages":[{"role":"user","content":[' + b"1," * 300_000 + b"1]}]",
    ],
)  # fmt: skip
async def test_odd_bodies_get_an_answer(fields: bytes, tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        bounded = Limits(max_output=2**40, tokens_per_minute=2**40, concurrency=5)
        configure(
            it,
            [
                to(
                    "d", limits=(bounded,), shadow=Shadow("d", 1.0), record_prompts=True,
                    record_answers=True, overflow=(Overflow("e", ("context", "queue", "cold")),),
                )
            ],
            settings={"d": {"counts": False, "resume": control.Resume(context=100)}},
        )  # fmt: skip
        serve(it, "d", one, one, names=("own",))
        serve(it, "e", one)
        one.echo = True
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
            wire = await it.post(b'{"model":"m",' + fields + b"}", path)
            assert (await wire.answer()).status in (200, 400)
            wire.writer.close()
        await until(lambda: not it.gateway._copies)
        assert it.demand_of("d").running == 0
        assert len(it.records_written()) == 3


async def test_a_route_whose_deployments_are_all_gone_says_so() -> None:
    async with rig() as it:
        configure(it, [to("d")])
        it.gateway._lanes.clear()
        assert (await (await it.post(chat())).answer()).code == "removed"


async def test_the_bound_of_a_route_changes_with_a_reload() -> None:
    async with engine() as one, rig() as it:
        one.echo = True
        for most, route in [(1000, "short"), (10, "long"), (1000, "short")]:
            rule = Rule(models=("m",), prompt=Range(most=most))
            rest = Route(name="long", rule=Rule(), variants=(Variant("d", 1),))
            configure(it, [to("d", "short", rule=rule), rest])
            serve(it, "d", one)
            assert (await (await it.post(chat(CLOSE))).answer()).headers[
                "x-headrace-route"
            ] == route


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
