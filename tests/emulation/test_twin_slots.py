"""Slots and the queue in front of them, and what is not said after an error."""

import asyncio
from collections.abc import Callable

from engine_twin_kit import COUNT, open_twin, streamed

PATH = "/v1/completions"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nothing here sets an event for it
            await asyncio.sleep(0.001)


async def test_those_that_wait_get_the_slots_of_those_that_end() -> None:
    async with open_twin(slots=1) as twin:
        answers = await asyncio.gather(*(twin.json(PATH, **COUNT) for _ in range(4)))
        assert {answer["choices"][0]["text"] for answer in answers} == {" 4, 5,"}
        assert twin.face.engine.books.queued.count == 4


async def test_one_that_leaves_makes_room() -> None:
    async with open_twin(slots=1, tpot=60) as twin:
        books = twin.face.engine.books
        asking = asyncio.create_task(twin.ask(PATH, **COUNT))
        await until(lambda: books.generation_tokens == 1)
        waiting = asyncio.create_task(twin.ask(PATH, prompt="1, 2,", max_tokens=1))
        await until(lambda: books.waiting == 1)
        asking.cancel()
        assert (await waiting).json()["choices"][0]["text"] == " "
        await until(lambda: books.aborted == 1)


async def test_no_usage_follows_an_error() -> None:
    async with open_twin() as twin:
        await twin.faults(error_after=1)
        found = await streamed(twin, stream_options={"include_usage": True})
        assert ["error" in one for one in found] == [False, True]


async def test_an_abort_after_the_first_token_does_not_begin_again() -> None:
    async with open_twin() as twin:
        await twin.faults(abort_after=1)
        first, last = await streamed(twin, echo=True, return_token_ids=True)
        assert first["choices"][0]["text"] == "1, 2, 3, "
        assert first["choices"][0]["prompt_token_ids"] is not None
        assert last["choices"][0]["text"] == ""
        assert last["choices"][0]["prompt_token_ids"] is None
        assert last["choices"][0]["finish_reason"] == "abort"


async def test_a_crowd_slows_every_token() -> None:
    async with open_twin(tpot=0.001) as twin:
        await twin.faults(crowding=0.3)
        three = COUNT | {"max_tokens": 3}
        started = asyncio.get_running_loop().time()
        await twin.json(PATH, **three)
        alone = asyncio.get_running_loop().time() - started
        await asyncio.gather(*(twin.json(PATH, **three) for _ in range(4)))
        together = asyncio.get_running_loop().time() - started - alone
        assert alone < 2 * 0.3
        assert together > 3 * 0.3 * 0.99  # a token beside three others


async def test_a_full_cache_preempts_the_youngest_and_loses_nothing() -> None:
    body = {"prompt": "a" * 60, "max_tokens": 60, "ignore_eos": True, "temperature": 0}
    async with open_twin(tpot=0.002, kv_tokens=240) as roomy:
        whole = (await roomy.json(PATH, **body))["choices"][0]["text"]
    async with open_twin(tpot=0.002, kv_tokens=240) as twin:
        await twin.faults(preempts=True)
        answers = await asyncio.gather(*(twin.json(PATH, **body) for _ in range(6)))
        books = twin.face.engine.books
        assert books.preempted > 0
        assert [answer["choices"][0]["text"] for answer in answers] == [whole] * 6
        assert [answer["usage"]["completion_tokens"] for answer in answers] == [60] * 6
        assert (books.running, books.waiting, twin.face.engine.kv_used()) == (0, 0, 0)
        assert (
            f'preemptions_total{{engine="0",model_name="twin"}} {books.preempted}'
            in (await twin.get("/metrics")).text
        )


async def test_metrics_can_be_missing_and_can_be_stuck() -> None:
    async with open_twin() as twin:
        await twin.faults(stuck_metrics=True)
        before = (await twin.get("/metrics")).text
        await twin.json(PATH, **COUNT)
        assert (await twin.get("/metrics")).text == before
        await twin.faults(no_metrics=True, stuck_metrics=False)
        assert (await twin.get("/metrics")).text == ""
