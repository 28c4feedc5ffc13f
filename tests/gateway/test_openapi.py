"""The gateway's description of itself is valid, and true."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
import schemathesis
from guarded import SECRET, guard, key
from harness import Engine, engine, rig
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from headrace.gateway.openapi import DESCRIPTION, describe
from headrace.gateway.small import API

EXAMPLES = 25


def test_the_description_is_valid_openapi() -> None:
    validate(json.loads(DESCRIPTION))
    assert describe()["paths"].keys() >= API


@pytest.fixture
def address() -> Iterator[str]:
    """A gateway with an engine that answers everything, in a loop and thread of its own."""
    port: Future[int] = Future()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(port, ended),))
    thread.start()
    yield f"http://127.0.0.1:{port.result(20)}"
    loop.call_soon_threadsafe(ended.set)
    thread.join(20)
    loop.close()


async def _serve(port: Future[int], ended: asyncio.Event) -> None:
    async with engine() as one, rig() as it:
        guard(it, key("one", SECRET))
        it.replicas(one, room=100)
        answering = asyncio.ensure_future(_answer(one))
        port.set_result(it.port)
        await ended.wait()
        answering.cancel()


async def _answer(one: Engine) -> None:
    while True:
        asked = await one.asked.get()
        if json.loads(asked.body).get("stream"):
            asked.start_stream()
            asked.send_chunk(
                b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
            )
            asked.end_stream()
        else:
            asked.answer_json({"choices": []})


def operations() -> list[tuple[str, str]]:
    return [(method, path) for path, methods in describe()["paths"].items() for method in methods]


@pytest.mark.parametrize(("method", "path"), operations())
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_it_does_what_it_says(address: str, method: str, path: str, mode: GenerationMode) -> None:
    """Statuses, content types and shapes are the described ones; good is taken, bad refused."""
    schema = schemathesis.openapi.from_dict(describe())
    (operation,) = (
        found.ok()
        for found in schema.get_all_operations()
        if isinstance(found, Ok) and (found.ok().method, found.ok().path) == (method, path)
    )
    if mode is GenerationMode.NEGATIVE and "requestBody" not in operation.definition.raw:
        mode = GenerationMode.POSITIVE  # there is no wrong way to ask

    @settings(
        max_examples=EXAMPLES, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case) -> None:
        headers = {"Authorization": f"Bearer {SECRET}"}
        case.call_and_validate(base_url=address, headers=headers)

    call()
