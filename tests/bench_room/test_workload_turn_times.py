"""A later turn of a replayed trace is not sent before its time, nor before its history is known."""

import asyncio

import pytest
from scripted_kit import Call, answers, ask, serving, token, usage

from headrace.bench.load import Load


async def reply(call: Call) -> None:
    await asyncio.sleep(0.05)
    await call.stream(token("x", "stop"), usage(3, 1))


ASKS = [
    ask(0, session=1, at=0.0),
    ask(1, session=1, turn=1, at=0.01),
    ask(2, session=1, turn=2, at=0.3),
]


async def test_turns_of_an_open_loop_have_times_of_their_own() -> None:
    async with serving(reply) as (address, _):
        first, second, third = await answers(address, ASKS, Load(patience=15.0))
    assert second.due == pytest.approx(first.ended)
    assert third.due == pytest.approx(max(0.3, second.ended))


async def test_a_closed_loop_does_not_look_at_times() -> None:
    async with serving(reply) as (address, _):
        _, second, third = await answers(address, ASKS, Load(concurrency=1, patience=15.0))
    assert third.due == pytest.approx(second.ended)
