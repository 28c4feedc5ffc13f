"""The clients that people write: httpx or openai, a task for each, the time taken when it is read.

`python -m bench.load.naive httpx|openai ORDER`. Both run on uvloop, as ours does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from time import monotonic, process_time

import httpx
import openai
import uvloop

from bench.load.seen import Order, order, tell

Ask = Callable[[Order], AsyncIterator[str]]
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)


def _httpx(given: Order) -> Ask:
    client = httpx.AsyncClient(limits=_LIMITS, timeout=60.0, trust_env=False)
    url = f"http://127.0.0.1:{given.port}/v1/completions"

    async def ask(one: Order) -> AsyncIterator[str]:
        body = {"model": "m", "prompt": "Say the time.", "max_tokens": one.tokens, "stream": True}
        async with client.stream("POST", url, json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line[6:])
                    if event["choices"]:
                        yield event["choices"][0]["text"]

    return ask


def _openai(given: Order) -> Ask:
    url = f"http://127.0.0.1:{given.port}/v1"
    client = openai.AsyncOpenAI(base_url=url, api_key="none", timeout=60.0)

    async def ask(one: Order) -> AsyncIterator[str]:
        answer = await client.completions.create(
            model="m", prompt="Say the time.", max_tokens=one.tokens, stream=True
        )
        async for event in answer:
            if event.choices:
                yield event.choices[0].text

    return ask


async def _run(make: Callable[[Order], Ask], given: Order) -> None:
    ask = make(given)
    seen: list[tuple[float, float]] = []
    left = iter(range(given.requests))

    async def client() -> None:
        for _ in left:
            async for text in ask(given):
                now = monotonic()
                seen.append((float(text), now))

    cpu, began = process_time(), monotonic()
    await asyncio.gather(*(client() for _ in range(given.clients)))
    tell(given.requests, seen, cpu, monotonic() - began)


if __name__ == "__main__":
    uvloop.run(_run({"httpx": _httpx, "openai": _openai}[sys.argv.pop(1)], order()))
