"""A twin in the test's own process, on a port that the system chooses, and a client for it."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from headrace.emulation.behaviour import Behaviour
from headrace.emulation.engine import TwinEngine
from headrace.emulation.faces import FACES
from headrace.emulation.faces.base import Face
from headrace.emulation.http import Server

COUNT = {"prompt": "1, 2, 3,", "max_tokens": 6}
CHAT = {"messages": [{"role": "user", "content": "1, 2, 3,"}], "max_tokens": 6}


class Twin(httpx.AsyncClient):
    """A client of one twin, which can be looked into."""

    face: Face
    server: Server

    @property
    def client(self) -> httpx.AsyncClient:
        return self

    async def ask(self, path: str, **body: Any) -> httpx.Response:
        return await self.post(path, json=body)

    async def json(self, path: str, **body: Any) -> Any:
        answer = await self.ask(path, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def faults(self, **faults: Any) -> None:
        answer = await self.post("/emulate", json=faults)
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def open_twin(
    engine: str = "vllm", exit_: Callable[[int], object] | None = None, **fields: Any
) -> AsyncIterator[Twin]:
    """Serve a twin of an engine with these parts of a behaviour."""
    kind = FACES[engine]
    behaviour = Behaviour(**{"version": kind.VERSION, "metrics_port": None, **fields})
    face = kind(TwinEngine(behaviour, exit_ or list[int]().append))  # never ends the tests
    server = Server()
    port = await face.listen(server, "127.0.0.1", 0)
    try:
        async with Twin(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            client.face, client.server = face, server
            yield client
    finally:
        await server.close()


def events(text: str, prefix: str = "data: ") -> list[Any]:
    """Return the events of a stream that ends in [DONE]."""
    lines = [line for line in text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith(prefix) for line in lines[:-1])
    return [msgspec.json.decode(line.removeprefix(prefix)) for line in lines[:-1]]


async def streamed(client: Twin, path: str = "/v1/completions", **body: Any) -> list[Any]:
    """Return the events of a stream."""
    whole = COUNT if path.endswith("/completions") and "messages" not in body else {}
    answer = await client.post(path, json={**whole, "stream": True, **body})
    assert answer.status_code == 200, answer.text
    return events(answer.text)


async def said(client: Twin, **body: Any) -> Any:
    """Return the first choice of a whole completion."""
    answer = await client.post("/v1/completions", json={**COUNT, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]


def text_of(found: list[Any]) -> str:
    """Return the text of a completion's or a chat's events."""
    choices = [event["choices"][0] for event in found if event.get("choices")]
    return "".join(c["text"] if "text" in c else c["delta"].get("content") or "" for c in choices)


def samples(page: str) -> dict[str, float]:
    """Return a metrics page by series, name and labels as written."""
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def names(page: str) -> set[str]:
    """Return the names that a metrics page declares."""
    return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}


def parsed(line: str) -> Any:
    """Return one event's object."""
    return json.loads(line.partition("data:")[2])
