"""Requests go where routes say: by what they are, by weight, past full deployments, within limits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness import PLAIN, Rig, engine, rig, until
from many import answer, chat, configure, serve, to

from headrace.gateway import control
from headrace.routing.route import Limits, Overflow, Range, Route, Rule, Shadow, Variant


async def test_the_first_route_that_describes_a_request_takes_it() -> None:
    rules = {
        "team": Rule(models=("m",), headers=(("x-team", ("search",)),)),
        "long": Rule(models=("m",), prompt=Range(least=1000)),
        "streams": Rule(models=("m",), stream=True),
        "short": Rule(models=("m",), output=Range(most=64)),
        "rest": Rule(),
    }
    async with engine() as one, rig() as it:
        routes = [to("d", name, rule=rule) for name, rule in rules.items()]
        configure(it, routes, settings={"d": {"counts": False}})
        serve(it, "d", one)
        asks: list[tuple[dict[str, Any], dict[str, str], str]] = [
            (chat(), {"x_team": "search"}, "team"),
            (chat(), {"x_team": "other"}, "rest"),
            (chat("word " * 2000), {}, "long"),
            (chat(max_tokens=64), {}, "short"),
            (chat(max_completion_tokens=64, max_tokens=9999), {}, "short"),
            (chat(max_tokens=65), {}, "rest"),
            ({**chat(), "model": "anything"}, {}, "rest"),
        ]
        for body, headers, route in asks:
            wire = await it.post(body, **headers)
            await answer(one)
            assert (await wire.answer()).headers["x-headrace-route"] == route
        wire = await it.post(chat(stream=True))
        (await one.next()).answer_json({"choices": []})
        assert (await wire.answer()).headers["x-headrace-route"] == "streams"


async def test_a_request_that_no_route_takes_is_told_why_and_nothing_of_others() -> None:
    async with rig() as it:
        rule = Rule(models=("m",), keys=("secret-team",), output=Range(most=10))
        configure(it, [to("d", rule=rule)])
        refused = await (await it.post(chat())).answer()
        message = refused.json()["error"]["message"]
        assert (refused.status, refused.code) == (404, "no_route")
        assert "max_tokens is not set, not at most 10" in message
        assert "it is for another key" in message
        assert "secret-team" not in message
        unknown = await (await it.post({**chat(), "model": "n"})).answer()
        assert (unknown.status, unknown.code) == (404, "model_not_found")
        assert "Served: m." in unknown.json()["error"]["message"]


async def test_a_conversation_keeps_its_variant_whatever_the_weights_become() -> None:
    async with engine() as small, engine() as large, rig() as it:
        route = Route(name="r", rule=Rule(), variants=(Variant("s", 50), Variant("l", 50)))
        configure(it, [route])
        serve(it, "s", small)
        serve(it, "l", large)
        small.echo = large.echo = True
        first = {number: await served(it, f"chat {number}") for number in range(40)}
        assert set(first.values()) == {"s", "l"}
        moved = Route(name="r", rule=Rule(), variants=(Variant("s", 1), Variant("l", 99)))
        configure(it, [moved])
        assert {number: await served(it, f"chat {number}") for number in range(40)} == first
        fresh = Counter([await served(it, f"fresh {number}") for number in range(60)])
        assert fresh["l"] > 50
        gone = Route(name="r", rule=Rule(), variants=(Variant("s", 1), Variant("l", 0)))
        configure(it, [gone])
        assert {await served(it, f"chat {number}") for number in range(40)} == {"s"}


async def served(it: Rig, text: str) -> str:
    """Return the deployment that answers the first turn, or a later one, of a conversation."""
    later = [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and?"}]
    one = await (await it.post(chat(text))).answer()
    body = chat(text)
    two = await (await it.post({**body, "messages": [*body["messages"], *later]})).answer()
    assert one.headers["x-headrace-deployment"] == two.headers["x-headrace-deployment"]
    return one.headers["x-headrace-deployment"]


async def test_the_engine_is_told_its_own_name_for_the_model() -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", "r", "alias", "tuned")], settings={"d": {"adapters": ("tuned",)}})
        serve(it, "d", one, names=("own", "other", "tuned"))
        for alias, told in [("alias", "own"), ("tuned", "tuned")]:
            wire = await it.post({**chat(), "model": alias})
            assert json.loads(await answer(one))["model"] == told
            assert (await wire.answer()).status == 200


async def test_a_replica_without_the_adapter_gets_none_of_its_requests() -> None:
    """Where no replica has it, an engine is asked all the same: it knows what to say."""
    async with engine() as one, engine() as two, rig() as it:
        configure(it, [to("d", "r", "m", "tuned")], settings={"d": {"adapters": ("tuned",)}})
        states = [("own",), ("own", "tuned")]
        replicas = [
            control.Replica(id=f"d-{n}", host="127.0.0.1", port=at.port, room=8, names=names)
            for n, (at, names) in enumerate(zip((one, two), states, strict=True))
        ]
        it.gateway.set_replicas(control.Replicas(deployment="d", replicas=tuple(replicas)))
        for _ in range(3):
            wire = await it.post({**chat(), "model": "tuned"})
            await answer(two)
            assert (await wire.answer()).headers["x-headrace-replica"] == "d-1"
        it.gateway.set_replicas(control.Replicas(deployment="d", replicas=(replicas[0],)))
        wire = await it.post({**chat(), "model": "tuned"})
        (await one.next()).answer_json({"error": "no such model"}, "404 Not Found")
        assert (await wire.answer()).status == 404


async def test_an_adapter_goes_where_it_is_loaded_and_others_go_elsewhere() -> None:
    async with engine() as one, engine() as two, rig() as it:
        names = ("own", "a", "b")
        configure(it, [to("d", "r", "a", "b")], settings={"d": {"adapters": ("a", "b")}})
        serve(it, "d", one, two, names=names, adapter_room=1)
        wires = [await it.post({**chat(), "model": name}) for name in "abba"]
        for at, name in ((one, "a"), (two, "b"), (two, "b"), (one, "a")):
            assert json.loads(await answer(at))["model"] == name
        replicas = [(await wire.answer()).headers["x-headrace-replica"] for wire in wires]
        assert replicas == ["d-1", "d-2", "d-2", "d-1"]


@pytest.mark.parametrize("cause", ["cold", "down", "context"])
async def test_a_request_overflows_where_its_route_allows_it(cause: Any, tmp_path: Path) -> None:
    async with engine() as big, rig(records=tmp_path / "log") as it:
        way = Overflow("big", (cause,))
        settings = {"small": {"resume": control.Resume(context=10)}} if cause == "context" else {}
        configure(it, [to("small", overflow=(way,))], settings=settings)
        serve(it, "big", big)
        serve(it, "small", *((big,) if cause == "context" else ()), down=cause == "down")
        wire = await it.post(chat("word " * 100))
        await answer(big)
        headers = (await wire.answer()).headers
        assert headers["x-headrace-deployment"] == "big"
        assert headers["x-headrace-fallback"] == f"{cause} from small"
        (record,) = it.records_written()
        assert list(record["fallbacks"]) == [{"cause": cause, "origin": "small"}]
        assert (record["deployment"], record["variant"]) == ("big", "small")


async def test_without_an_overflow_a_cold_deployment_is_waited_for() -> None:
    async with engine() as big, rig() as it:
        configure(it, [to("small"), to("big", "other", "n")])
        serve(it, "big", big)
        serve(it, "small", coming=True)
        wire = await it.post(chat())
        await until(lambda: it.gateway._lanes["small"].demand().held == 1)
        serve(it, "small", big)
        await answer(big)
        assert (await wire.answer()).headers["x-headrace-deployment"] == "small"


async def test_one_that_waits_goes_elsewhere_when_the_wait_gets_too_long() -> None:
    async with engine() as slow, engine() as spare, rig() as it:
        way = Overflow("spare", ("queue",), after=0.0)
        configure(it, [to("slow", overflow=(way,))])
        serve(it, "slow", slow, room=1)
        first = await it.post(chat())
        held = await slow.next()
        waiting = await it.post(chat())
        await until(lambda: it.gateway._lanes["slow"].demand().queued == 1)
        serve(it, "spare", spare)
        it.gateway.tick()
        await answer(spare)
        headers = (await waiting.answer()).headers
        assert headers["x-headrace-fallback"] == "queue from slow"
        held.answer_json({"choices": []})
        assert "x-headrace-fallback" not in (await first.answer()).headers


async def test_a_broken_deployment_is_left_for_another_one(tmp_path: Path) -> None:
    async with engine() as spare, rig(records=tmp_path / "log") as it:
        configure(it, [to("bad", overflow=(Overflow("spare", ("down",)),))])
        serve(it, "spare", spare)
        async with engine() as gone:
            pass
        serve(it, "bad", gone)
        wire = await it.post(chat())
        await until(lambda: it.demand_of("bad").running == 0 or not spare.asked.empty())
        serve(it, "bad", down=True)
        it.gateway.tick()
        await answer(spare)
        assert (await wire.answer()).headers["x-headrace-fallback"] == "down from bad"


async def test_a_shadow_answers_a_copy_that_nobody_hears(tmp_path: Path) -> None:
    async with engine() as one, engine() as trial, rig(records=tmp_path / "log") as it:
        configure(it, [to("d", shadow=Shadow("trial", 1.0))])
        serve(it, "d", one)
        serve(it, "trial", trial)
        wire = await it.post(chat(), x_request_id="abc")
        copied = await trial.next()
        assert json.loads(await answer(one)) == json.loads(copied.body)
        reply = await wire.answer()
        assert reply.headers["x-headrace-deployment"] == "d"
        copied.answer_json({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
        await until(lambda: not it.gateway._copies)
        (original,) = it.records_written()
        (copy,) = it.records_written(shadow=True)
        assert (original["id"], original["shadow"]) == ("abc", "trial")
        assert (copy["id"], copy["shadow_of"]) == ("abc.shadow", "abc")
        assert (copy["deployment"], copy["completion_tokens"]) == ("trial", 2)


async def test_a_busy_shadow_gets_no_copies() -> None:
    async with engine() as one, engine() as trial, rig() as it:
        configure(it, [to("d", shadow=Shadow("trial", 1.0))])
        serve(it, "d", one)
        serve(it, "trial", trial, room=1)
        one.echo = True
        for _ in range(3):
            assert (await (await it.post(chat())).answer()).status == 200
        await trial.next()
        assert trial.asked.empty()


async def test_limits_refuse_and_count(tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        enforced = Limits(requests_per_minute=2, max_prompt=1000)
        counted = Limits(requests_per_minute=1, enforce=False)
        configure(it, [to("d", limits=(enforced, counted))])
        serve(it, "d", one)
        one.echo = True
        for left in ("1", "0"):
            fine = await (await it.post(chat())).answer()
            assert fine.headers["x-ratelimit-remaining-requests"] == left
        refused = await (await it.post(chat())).answer()
        assert (refused.status, refused.code) == (429, "request_rate_limit")
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        long = await (await it.post(chat("word " * 5000))).answer()
        assert (long.status, long.code) == (400, "prompt_limit")
        touched = [one.get("limits", []) for one in it.records_written()]
        assert [len(one) for one in touched] == [0, 1, 1, 1]
        assert not touched[1][0]["enforced"]
        assert touched[2][0]["enforced"]


async def test_an_answer_without_a_bound_gets_the_limits() -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", limits=(Limits(max_output=7),))])
        serve(it, "d", one)
        for body, bound in [(chat(), 7), (chat(max_tokens=None), 7), (chat(max_tokens=5), 5)]:
            wire = await it.post(body)
            assert json.loads(await answer(one))["max_tokens"] == bound
            assert (await wire.answer()).status == 200
        too_many = await (await it.post(chat(max_tokens=8))).answer()
        assert (too_many.status, too_many.code) == (400, "output_limit")


async def test_the_engine_counts_where_an_estimate_could_be_wrong() -> None:
    """400 bytes are about 100 tokens, near the bound of 110: the engine says 111."""
    async with engine() as one, rig() as it:
        near = Rule(models=("m",), prompt=Range(most=110))
        configure(it, [to("d", "short", rule=near), to("d", "long")])
        serve(it, "d", one)
        wire = await it.post(chat("x" * 360))
        counting = await one.next()
        assert counting.head.startswith("POST /tokenize ")
        assert json.loads(counting.body)["messages"] == chat("x" * 360)["messages"]
        counting.answer_json({"count": 111, "max_model_len": 2048, "tokens": []})
        await answer(one)
        assert (await wire.answer()).headers["x-headrace-route"] == "long"
        wire = await it.post(chat("x"))
        await answer(one)
        assert (await wire.answer()).headers["x-headrace-route"] == "short"


async def test_words_are_recorded_only_where_the_route_says_so(tmp_path: Path) -> None:
    async with engine() as one, rig(records=tmp_path / "log") as it:
        told = to("d", "told", "m", record_prompts=True, record_answers=True)
        configure(it, [told, to("d", "quiet", "n")])
        serve(it, "d", one)
        for alias in ("m", "n"):
            wire = await it.post({**chat("my words"), "model": alias})
            await answer(one, choices=[{"message": {"content": "your words"}}])
            await wire.answer()
        open_record, quiet = it.records_written()
        assert "my words" in open_record["prompt"]
        assert open_record["answer"] == "your words"
        assert "words" not in json.dumps(quiet)


async def test_the_record_says_which_way_a_request_went_and_what_it_cost(tmp_path: Path) -> None:
    price = control.Price(input=2.0, cached=0.5, output=10.0)
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        configure(it, [to("d")], settings={"d": {"price": price}})
        serve(it, "d", one, two)
        wire = await it.post(chat())
        details = {"cached_tokens": 400}
        usage = {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": details}
        await answer(one, usage=usage)
        await wire.answer()
        (record,) = it.records_written()
        assert record["rule"] == "model m"
        assert record["why"] == "the route's only variant"
        assert [score["replica"] for score in record["scores"]] == ["d-1", "d-2"]
        assert record["cached_tokens"] == 400
        assert record["cost"] == pytest.approx((600 * 2.0 + 400 * 0.5 + 50 * 10.0) / 1e6)
        assert [tried["replica"] for tried in record["tried"]] == ["d-1"]


async def test_work_that_is_more_important_takes_the_place_of_less() -> None:
    async with engine() as one, rig() as it:
        low, high = to("d", "low", "m", priority="low"), to("d", "high", "n", priority="high")
        configure(it, [low, high], settings={"d": {"queue_limit": 1}})
        serve(it, "d", one, room=1)
        running = await it.post(PLAIN)
        asked = await one.next()
        shed = await it.post(chat())
        await until(lambda: it.demand_of("d").queued == 1)
        wanted = await it.post({**chat(), "model": "n"})
        refused = await shed.answer()
        assert (refused.status, refused.code) == (503, "shed")
        assert int(refused.headers["retry-after"]) >= 1
        asked.answer_json({"choices": []})
        assert (await running.answer()).status == 200
        await answer(one)
        assert (await wanted.answer()).headers["x-headrace-route"] == "high"


async def test_the_demand_of_each_route_is_told() -> None:
    async with engine() as one, rig() as it:
        configure(it, [to("d", "a", "m"), to("d", "b", "n")])
        serve(it, "d", one, room=1)
        first = await it.post(chat())
        asked = await one.next()
        waiting = await it.post({**chat(), "model": "n"})
        await until(lambda: it.demand_of("d").routes == {"a": (0, 1), "b": (1, 0)})
        asked.answer_json({"choices": []})
        await first.answer()
        await answer(one)
        await waiting.answer()


async def test_a_limit_holds_across_gateways_and_their_restarts(tmp_path: Path) -> None:
    usage = str(tmp_path / "usage.db")
    routes = [to("d", limits=(Limits(requests_per_minute=10),))]
    async with engine() as one:
        one.echo = True
        async with rig() as first, rig() as second:
            for it in (first, second):
                configure(it, routes, usage=usage)
                serve(it, "d", one)
            statuses = [
                (await (await it.post(chat())).answer()).status
                for _ in range(8)
                for it in (first, second)
            ]
            assert statuses == [200] * 10 + [429] * 6
        async with rig() as third:
            configure(third, routes, usage=usage)
            serve(third, "d", one)
            assert (await (await third.post(chat())).answer()).status == 429


async def test_new_weights_and_limits_reach_what_runs_without_breaking_it() -> None:
    async with engine() as one, engine() as two, rig() as it:
        both = Route(name="r", rule=Rule(), variants=(Variant("a", 1), Variant("b", 0)))
        configure(it, [both])
        serve(it, "a", one)
        serve(it, "b", two)
        running = await it.post(chat("runs", stream=True))
        asked = await one.next()
        moved = Route(name="r", rule=Rule(), variants=(Variant("a", 0), Variant("b", 1)))
        configure(it, [moved])
        wire = await it.post(chat("next"))
        await answer(two)
        assert (await wire.answer()).headers["x-headrace-deployment"] == "b"
        asked.answer_json({"choices": []})
        assert (await running.answer()).headers["x-headrace-deployment"] == "a"
