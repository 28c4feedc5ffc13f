"""A fleet that is up for one situation, and clients of it that behave as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from headrace.fleet.load import load_fleet
from headrace.local import client
from headrace.local.state import StateDir, state_dir
from headrace.view.status import DeploymentStatus, ReplicaStatus

Doing = Coroutine[object, object, None]
"""What somebody does on a stage."""
PATIENCE = 180.0
"""Seconds to wait for a fleet to serve."""
_SMALL = 4096
"""Bytes that a slow client's socket takes in."""
_WORDS = [
    "the",
    "river",
    "runs",
    "down",
    "to",
    "a",
    "mill",
    "where",
    "people",
    "bring",
    "their",
    "grain",
    "in",
    "the",
    "autumn",
]


@dataclass
class Stage:
    """A fleet; `model` is what clients ask for, `chance` makes lengths and pauses."""

    file: Path
    state: StateDir
    model: str
    port: int
    nice: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    async def ask(
        self,
        prompt: int | str,
        tokens: int,
        *,
        patience: float | None = None,
        bytes_a_second: int | None = None,
        stream: bool = True,
    ) -> None:
        """Ask for so many tokens and read them; a number stands for a prompt so long.

        After `patience` seconds the client hangs up; it reads so many bytes a second at most.
        """
        text = self.text(prompt) if isinstance(prompt, int) else prompt
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(patience):
                await self._answer(text, tokens, bytes_a_second, stream)

    def text(self, tokens: int) -> str:
        """Return a prompt that no cache knows: letters, each a token of a twin's."""
        return "".join(self.chance.choices("abcdefghijklmnop", k=max(1, tokens)))

    def words(self, count: int) -> str:
        """Return a prompt of common words, each about one token of a real model's."""
        return " ".join(self.chance.choices(_WORDS, k=count))

    async def _answer(self, prompt: str, tokens: int, pace: int | None, stream: bool) -> None:
        limit = _SMALL if pace else 1 << 16
        reader, writer = await asyncio.open_connection(sock=await self._socket(pace), limit=limit)
        try:
            body = json.dumps(
                {
                    "model": self.model,
                    "prompt": prompt,
                    "max_tokens": tokens,
                    "stream": stream,
                    "ignore_eos": True,
                }
            ).encode()
            head = (
                f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            while data := await reader.read(limit):
                if pace:
                    await asyncio.sleep(len(data) / pace)
        finally:
            writer.transport.abort()

    async def _socket(self, pace: int | None) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        if pace:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.port))
        except BaseException:  # whoever strikes the stage meanwhile leaves no socket open
            made.close()
            raise
        return made

    async def clients(self, count: int, one: Callable[[], Doing], pause: float = 0.0) -> None:
        """Have so many clients do the same again and again, with such a pause on average."""

        async def again() -> None:
            await asyncio.sleep(self.chance.random() * 0.05)
            while True:
                await one()
                await asyncio.sleep(self.chance.expovariate(1 / pause) if pause else 0.01)

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(again())

    async def arrivals(self, rate: float, one: Callable[[], Doing]) -> None:
        """Have requests arrive at random, so many a second."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(one())
                await asyncio.sleep(self.chance.expovariate(rate))

    async def deployment(self) -> DeploymentStatus:
        """Return the state of the only deployment."""
        return (await client.status(self.state)).deployments[0]

    async def ready(self) -> list[ReplicaStatus]:
        """Return the replicas that are ready."""
        return [one for one in (await self.deployment()).replicas if one.state == "ready"]

    async def emulate(self, replica: ReplicaStatus, **faults: object) -> None:
        """Have a twin misbehave."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"http://127.0.0.1:{replica.port}/emulate", json=faults)
            answer.raise_for_status()

    async def roll_out(self) -> None:
        """Move the fleet to a file that differs in what its engines are given."""
        new = self.file.with_name("new.yaml")
        text = self.file.read_text(encoding="utf-8")
        new.write_text(text.replace("env: {", "env: {NEW: '1', "), encoding="utf-8")
        command = (sys.executable, "-m", "headrace", "rollout", str(new))
        root = {"HEADRACE_STATE": str(self.state.path.parent)}
        silent = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **root}, stdout=silent, stderr=silent
        )
        await process.wait()

    async def scale(self, count: int | None) -> None:
        """Fix the number of replicas; None: by the rules again."""
        await client.scale(self.state, (await self.deployment()).name, count)

    async def until_ready(self, count: int) -> None:
        """Wait until exactly so many replicas are there, and ready."""
        async with asyncio.timeout(PATIENCE):
            while True:
                now = (await self.deployment()).replicas
                if len(now) == count and all(one.state == "ready" for one in now):
                    return
                await asyncio.sleep(0.05)


async def together(*lives: Doing) -> None:
    """Live these side by side until the stage is struck."""
    async with asyncio.TaskGroup() as group:
        for life in lives:
            group.create_task(life)


def prefer(root: int, nice: int) -> None:
    """Give a process and those below it that niceness against all others on the machine.

    Linux shares the cores among sessions first, so that is where it counts.
    """
    if not nice:
        return
    top = psutil.Process(root)
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(OSError, psutil.Error):
            Path(f"/proc/{process.pid}/autogroup").write_text(str(nice), encoding="ascii")


@asynccontextmanager
async def staged(fleet: str, folder: Path, nice: int = 0) -> AsyncIterator[Stage]:
    """Serve a fleet file with this text, for as long as the block lasts, with this niceness."""
    file = folder / "fleet.yaml"
    file.write_text(fleet, encoding="utf-8")
    root = folder / "s"
    log = (folder / "up.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", "up", str(file),
        env={**os.environ, "HEADRACE_STATE": str(root)}, stdout=log, stderr=log, cwd=folder,
    )  # fmt: skip
    name = load_fleet(file).fleet.fleet
    state = state_dir(name, file, root)
    try:
        status = await _serving(state, process, folder / "up.log")
        prefer(process.pid, nice)
        yield Stage(file, state, *status, nice)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()
        log.close()


async def _serving(
    state: StateDir, process: asyncio.subprocess.Process, log: Path
) -> tuple[str, int]:
    """Return model and port once the fleet serves."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.returncode is None:
        with contextlib.suppress(client.NotUpError, client.RefusedError):
            await client.wait_ready(state)
            status = await client.status(state)
            return status.deployments[0].models[0], urlsplit(status.address).port or 0
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the fleet does not serve:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8")[-2000:]
