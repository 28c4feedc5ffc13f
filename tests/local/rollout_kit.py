"""What tests of rollouts share: clients that ask all the time, and a rollout followed to its end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fleet_kit import Running, until

from headrace.local import rollout_client
from headrace.view.status import DeploymentStatus

SECOND = ("hardware: here", "hardware: here\n    engine: {flags: {mode: two}}")
"""A change that an engine notices: its behaviour comes from the file mode-two."""
MODEL = "{match: {model: [chat]}, deployment: chat}"


@dataclass
class Asking:
    """Clients that ask all the time; every answer that is not 200, or not whole, is kept."""

    answers: int = 0
    bad: list[str] = field(default_factory=list)
    replicas: set[str] = field(default_factory=set)

    async def run(self, address: str, model: str, *, stream: bool) -> None:
        body = {"model": model, "prompt": "hello", "max_tokens": 4, "stream": stream}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            while True:
                try:
                    answer = await http.post(f"{address}/completions", json=body)
                except httpx.HTTPError as error:
                    self.bad.append(repr(error))
                    continue
                self.answers += 1
                self.replicas.add(answer.headers.get("x-headrace-replica", ""))
                if answer.status_code != 200 or (stream and "data: [DONE]" not in answer.text):
                    self.bad.append(f"{answer.status_code} {answer.text}")


@asynccontextmanager
async def asking(
    running: Running, model: str = "chat", clients: int = 2, *, stream: bool = False
) -> AsyncIterator[Asking]:
    (running.folder / "release").touch()
    made = Asking()
    tasks = [
        asyncio.create_task(made.run(running.address, model, stream=stream)) for _ in range(clients)
    ]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ready(running: Running, count: int) -> None:
    await until(lambda: running.states() == ["ready"] * count)


def chat(running: Running) -> DeploymentStatus:
    return running.status().deployments[0]


def ids(running: Running) -> list[str]:
    return [replica.id for replica in chat(running).replicas]


async def roll(running: Running, file: Path, **given: float) -> tuple[str, list[str]]:
    """Roll out and follow; return how it ended and every line."""
    plan = await rollout_client.rollout(running.state, file, **given)
    assert plan
    return await followed(running)


async def followed(running: Running) -> tuple[str, list[str]]:
    lines: list[str] = []
    ended = await asyncio.wait_for(rollout_client.follow_rollout(running.state, lines.append), 120)
    return ended, lines


class Lowest:
    """The fewest ready replicas that were ever seen."""

    def __init__(self, running: Running) -> None:
        self.ready = 99
        self._running = running

    async def watch(self) -> None:
        while True:
            self.ready = min(self.ready, chat(self._running).ready)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def lowest(running: Running) -> AsyncIterator[Lowest]:
    made = Lowest(running)
    task = asyncio.create_task(made.watch())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def returned(running: Running, file: Path, before: Sequence[int], **given: float) -> str:
    """Roll out, see the fleet as it was before, and return why it returned."""
    ended, lines = await roll(running, file, **given)
    assert ended == "returned"
    await ready(running, len(before))
    assert set(running.pids()) >= set(before[:1])
    assert running.status().file == str(running.folder / "fleet.yaml")
    (why,) = [line for line in lines if line.startswith("returning to")]
    return why
