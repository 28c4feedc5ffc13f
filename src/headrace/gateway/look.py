"""Whether a ready replica still works: a glance every few seconds, a look when it is suspected.

`/health` is answered by a process whose engine hangs, or answers wrongly. So a suspected replica,
and now and then each other one, must answer the known prompt too, and soon. One that is only busy
must not be condemned for its queue: while its counters move it is answering others. The
runtimes decide what follows.
"""

from __future__ import annotations

import asyncio
from enum import Enum

import httpx

from headrace.engines.metrics import read_metrics
from headrace.gateway import proof
from headrace.gateway.proof import Provable

_PROGRESS = ("generation_tokens", "success")


class Found(Enum):
    """What a look found."""

    FIT = "fit"
    BUSY = "busy"
    """The known prompt was not answered in time, but others were."""
    UNFIT = "unfit"


async def glance(client: httpx.AsyncClient, base: str, path: str) -> Found:
    """Ask the engine at `base` whether it is alive."""
    return Found.FIT if await proof.healthy(client, base, path) else Found.UNFIT


async def look(
    client: httpx.AsyncClient, base: str, deployment: Provable, *, health: float, prompt: float
) -> Found:
    """Have the engine say within `health` seconds that it is alive, and prove it within `prompt`.

    WrongAnswerError if it answers the known prompt wrongly.
    """
    try:
        async with asyncio.timeout(health):
            if not await proof.healthy(client, base, deployment.engine.health_path):
                return Found.UNFIT
            before = await _progress(client, base, deployment)
    except TimeoutError:
        return Found.UNFIT
    try:
        async with asyncio.timeout(prompt):
            await proof.prove(client, base, deployment)
    except TimeoutError:
        return await _busy(client, base, deployment, before, health)
    return Found.FIT


async def _busy(
    client: httpx.AsyncClient, base: str, deployment: Provable, before: float | None, limit: float
) -> Found:
    try:
        async with asyncio.timeout(limit):
            after = await _progress(client, base, deployment)
    except TimeoutError:
        return Found.UNFIT
    moved = before is not None and after is not None and after > before
    return Found.BUSY if moved else Found.UNFIT


async def _progress(client: httpx.AsyncClient, base: str, deployment: Provable) -> float | None:
    """Return a number that grows while the engine answers anybody, or None if it tells none."""
    sources = deployment.engine.metric_sources()
    if not any(sources.get(name) for name in _PROGRESS):
        return None
    try:
        answer = await client.get(f"{base}{deployment.engine.metrics_path}")
        found = read_metrics(answer.text, sources)
    except (httpx.HTTPError, ValueError):  # ValueError: not the text of metrics
        return None
    values = [sample.value for name in _PROGRESS if (sample := found[name]) is not None]
    return sum(values) if values else None
