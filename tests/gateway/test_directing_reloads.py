"""What a reload does to requests that are under way, and to those that come next."""

from __future__ import annotations

import pytest
from harness import engine, rig, until
from many import CLOSE, answer, chat, configure, serve, to

from headrace.routing.route import Overflow, Range, Route, Rule, Variant


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
