"""What the gateway's process holds, sampled: memory, descriptors, tasks, bodies, connections."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from pathlib import Path

_GAUGE = re.compile(r"^headrace_(\w+)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)
_PAGE = 4096
_PATIENCE = 15.0
_KEPT = 5.0  # seconds; more than a connection to an engine is kept
MEMORY_SLACK = 24 * 2**20
"""Bytes that memory may grow after the first fifth of the inputs: the allocator's own waves."""


@dataclass(frozen=True)
class Sample:
    """One look at the process; `memory` in bytes."""

    memory: int
    descriptors: int
    tasks: int
    connections: int
    bodies: int
    work: int

    @property
    def idle(self) -> bool:
        """Whether no client has anything left in it."""
        return not (self.connections or self.bodies or self.work)


class Watch:
    """Looks at process `pid`, whose metrics are at `port`."""

    def __init__(self, pid: int, port: int) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._port = port

    async def run(self) -> None:
        """Sample each second until cancelled."""
        while True:
            self.samples.append(await self.look())
            await asyncio.sleep(1)

    async def idle(self, descriptors: float = math.inf) -> Sample:
        """Wait until everything that clients left is gone, and all descriptors but so many.

        Connections to engines are kept for some seconds. Returns the last look in any case.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _PATIENCE
        while True:
            sample = await self.look()
            settled = sample.idle and sample.descriptors <= descriptors
            if settled or loop.time() > end:
                return sample
            await asyncio.sleep(0.2)

    async def settled(self) -> Sample:
        """Wait until connections to engines are closed too, and look."""
        await asyncio.sleep(_KEPT)
        return await self.idle()

    async def look(self) -> Sample:
        """Sample now."""
        text = await self._metrics()
        found: dict[str, float] = {}
        for name, value in _GAUGE.findall(text):
            found[name] = found.get(name, 0.0) + float(value)
        process = Path("/proc", str(self._pid))
        return Sample(
            memory=int((process / "statm").read_text().split()[1]) * _PAGE,
            descriptors=len(list((process / "fd").iterdir())),
            tasks=int(found["tasks"]),
            connections=int(found["connections"]),
            bodies=int(found["body_bytes"]),
            work=int(found["held"] + found["queued"] + found["running"]),
        )

    async def _metrics(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return text


def leaks(first: Sample, warm: Sample, last: Sample) -> list[str]:
    """Return what did not go back: `first` is before all inputs, `warm` after the first of them."""
    found = []
    if not last.idle:
        found.append(f"work was left behind: {last}")
    if last.tasks > first.tasks:
        found.append(f"tasks grew from {first.tasks} to {last.tasks}")
    if last.descriptors > first.descriptors:
        found.append(f"descriptors grew from {first.descriptors} to {last.descriptors}")
    if last.memory > warm.memory + MEMORY_SLACK:
        found.append(f"memory grew from {warm.memory >> 20} to {last.memory >> 20} MiB")
    return found
