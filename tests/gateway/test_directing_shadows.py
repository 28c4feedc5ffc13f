"""Copies for shadows: which requests have one, and that they harm nobody and leave nothing."""

from __future__ import annotations

import gc
import json
import weakref

from harness import engine, rig, until
from many import CLOSE, NEAR, answer, chat, configure, serve, to

from headrace.routing.route import Limits, Shadow


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
