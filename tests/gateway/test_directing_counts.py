"""Prompts that an engine counts before they are directed: its answers, and what may happen meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import engine, rig, until
from many import CLOSE, NEAR, answer, chat, configure, hung_up, serve, to

from headrace.gateway.direction import Direction
from headrace.routing.route import Limits


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
