"""A cluster for the gateway and the scaler: an API server in memory, engine twins and real processes.

The test is the EndpointSlice controller: it says which Pods there are, and in which state.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from headrace.kubernetes.resource import ENDPOINT_SLICES, NAMESPACES
from headrace.kubernetes.twin.server import Twin

PATIENCE = 30.0
FLEET = """\
fleet: f
models: {{m: {{weights: "file:///nowhere"}}}}
hardware: {{h: {{kind: emulated}}}}
deployments:
  d:
    model: m
    hardware: h
    max_num_seqs: 4
    scaling:
      min: 0
      max: 3
      triggers: [{{signal: waiting, target: 2.5}}, {{signal: demand, target: 4, route: r}}]
    lifecycle: {{drain: {drain}, grace: 30s}}
routes:
  r: {{match: {{model: [{aliases}]}}, deployment: d}}
"""


def write_fleet(path: Path, *, aliases: str = "m", drain: str = "20s", more: str = "") -> Path:
    path.write_text(FLEET.format(aliases=aliases, drain=drain) + more)
    return path


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  conditions are on objects that signal nothing
            await asyncio.sleep(0.005)


async def until_so(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until the answer is yes: another process signals nothing here."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110  as above
            await asyncio.sleep(0.005)


# -- processes --------------------------------------------------------------------------------


@dataclass
class Child:
    """A process whose words are kept."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    _reading: asyncio.Task[None] | None = None

    async def read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while line := await stream.readline():
            self.lines.append(line.decode().rstrip())

    async def said(self, pattern: str) -> re.Match[str]:
        """Wait for a line that has the pattern."""
        found: list[re.Match[str]] = []

        def there() -> bool:
            found[:] = [m for line in self.lines if (m := re.search(pattern, line))]
            return bool(found) or self.process.returncode is not None

        await until(there)
        assert found, self.lines
        return found[0]

    def tell(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@contextlib.asynccontextmanager
async def child(*command: str, **env: str) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **env},
    )
    made = Child(process)
    reading = asyncio.ensure_future(made.read())
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


# -- engines ----------------------------------------------------------------------------------


@dataclass
class Engine:
    """An engine twin as a process."""

    child: Child
    port: int

    async def faults(self, **faults: Any) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            (
                await client.post(f"http://127.0.0.1:{self.port}/emulate", json=faults)
            ).raise_for_status()


@contextlib.asynccontextmanager
async def engine(*flags: str) -> AsyncIterator[Engine]:
    names = () if "--model" in flags else ("--model", "m", "d")
    command = ("headrace.emulation", "--port", "0", *names, *flags)
    async with child(*command) as made:
        found = await made.said(r" on http://[\d.]+:(\d+)")
        yield Engine(made, int(found[1]))


# -- the cluster ------------------------------------------------------------------------------


@dataclass
class Cluster:
    """The API server's twin, and the hands of the EndpointSlice controller."""

    api: Twin
    config: Path
    _slices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def pod(
        self, name: str, port: int, *, ready: bool = True, terminating: bool = False,
        service: str = "f-d", port_name: str = "http", serving: bool | None = None,
    ) -> None:  # fmt: skip
        """Write what is known of one Pod; here each has a slice of its own."""
        conditions = {
            "ready": ready and not terminating,
            "serving": ready if serving is None else serving,
            "terminating": terminating,
        }
        target = {"kind": "Pod", "name": name, "uid": f"uid-{name}"}
        one = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": "f",
                "uid": f"slice-{name}",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["127.0.0.1"], "conditions": conditions, "targetRef": target}
            ],
            "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        }
        self.api.put(ENDPOINT_SLICES, one)

    def gone(self, name: str) -> None:
        self.api.store.remove(ENDPOINT_SLICES, "f", name)

    def gateway_pod(self, name: str, admin: int, **state: Any) -> None:
        self.pod(name, admin, service="f-gateway-admin", port_name="admin", **state)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    async with Twin() as api:
        config = folder / "kubeconfig"
        config.write_text(json.dumps(api.kubeconfig()))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "f"}}
        api.put(NAMESPACES, namespace)
        yield Cluster(api, config)


# -- the gateway ------------------------------------------------------------------------------


@dataclass
class Gateway:
    """`headrace gateway serve`, and a client of it."""

    child: Child
    port: int
    admin: int
    client: httpx.AsyncClient

    def ask(self, model: str = "m", **body: Any) -> asyncio.Task[httpx.Response]:
        """Send a request whose answer counts on from 3."""
        whole = {"model": model, "prompt": "1, 2, 3,", "max_tokens": 6, "temperature": 0, **body}
        url = f"http://127.0.0.1:{self.port}/v1/completions"
        return asyncio.ensure_future(self.client.post(url, json=whole))

    async def look(self, path: str) -> httpx.Response:
        return await self.client.get(f"http://127.0.0.1:{self.admin}{path}")

    async def demand(self) -> dict[str, Any]:
        (found,) = (await self.look("/demand")).json()
        return dict(found)

    async def demanded(self, **counts: int) -> None:
        """Wait until the demand has these counts."""

        async def so() -> bool:
            return counts.items() <= (await self.demand()).items()

        await until_so(so)

    async def figure(self, series: str) -> float:
        page = (await self.look("/metrics")).text
        return next(
            float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(series)
        )

    async def shows(self, series: str, value: float) -> None:
        """Wait until a series of the metrics has a value."""

        async def so() -> bool:
            return await self.figure(series) == value

        await until_so(so)

    async def ready(self) -> None:
        """Wait until it says that it is ready."""

        async def so() -> bool:
            return (await self.look("/readyz")).status_code == httpx.codes.OK

        await until_so(so)


@contextlib.asynccontextmanager
async def gateway(
    it: Cluster, fleet: Path, *, state: str = "state", wait: bool = True
) -> AsyncIterator[Gateway]:
    command = (
        *("headrace", "gateway", "serve", str(fleet), "--listen", "127.0.0.1:0"),
        *("--admin", "127.0.0.1:0", "--state", str(fleet.parent / state)),
    )
    async with child(*command, KUBECONFIG=str(it.config)) as made:
        found = await made.said(r"serving on [\d.]+:(\d+), admin on [\d.]+:(\d+)")
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            serving = Gateway(made, int(found[1]), int(found[2]), client)
            if wait:
                await serving.ready()
            yield serving


async def drop(*asked: asyncio.Task[httpx.Response]) -> None:
    """Hang up."""
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


def text_of(stream: str) -> str:
    """Return the text that a stream of completions carries."""
    events = [json.loads(part[6:]) for part in stream.split("\n\n") if part.startswith("data: {")]
    return "".join(event["choices"][0]["text"] for event in events if event.get("choices"))


SIGTERM, SIGKILL = signal.SIGTERM, signal.SIGKILL
