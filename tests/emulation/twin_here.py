"""A twin in this process, on a port of its own, and what tests read from it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from headrace.emulation.behaviour import Behaviour
from headrace.emulation.engine import TwinEngine
from headrace.emulation.faces import FACES
from headrace.emulation.faces.base import Face
from headrace.emulation.http import Server

COUNT = {"prompt": "1, 2, 3,", "max_tokens": 6}


@dataclass
class Twin:
    engine: TwinEngine
    face: Face
    server: Server
    port: int
    client: httpx.AsyncClient
    died: list[int] = field(default_factory=list)

    async def ask(self, path: str, **body: Any) -> httpx.Response:
        return await self.client.post(path, json=body)

    async def json(self, path: str, **body: Any) -> Any:
        answer = await self.ask(path, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def events(self, path: str, **body: Any) -> list[Any]:
        """Return the events of a stream, the last of them "[DONE]" where it comes."""
        answer = await self.ask(path, **body)
        assert answer.status_code == 200, answer.text
        return events(answer.text)

    async def faults(self, **changed: Any) -> None:
        await self.json("/emulate", **changed)


def events(text: str) -> list[Any]:
    found = [part.removeprefix("data:").strip() for part in text.split("\n\n") if part.strip()]
    return [one if one == "[DONE]" else json.loads(one) for one in found]


def text_of(found: list[Any]) -> str:
    """Return the text that the events of an OpenAI stream carry."""
    choices = [one["choices"][0] for one in found if one != "[DONE]" and one["choices"]]
    return "".join(c.get("text", c.get("delta", {}).get("content")) or "" for c in choices)


@asynccontextmanager
async def open_twin(name: str = "vllm", **given: Any) -> AsyncIterator[Twin]:
    kind = FACES[name]
    died: list[int] = []
    given = {"version": kind.VERSION, "metrics_port": 0, **given}
    engine = TwinEngine(Behaviour(**given), died.append)
    face, server = kind(engine), Server()
    port = await face.listen(server, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        yield Twin(engine, face, server, port, client, died)
    await server.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing here sets an event for it
            await asyncio.sleep(0.001)
