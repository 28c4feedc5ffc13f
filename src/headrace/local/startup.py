"""From a started process to a replica that has given the known answer.

`/health` only says that a port is open; the known prompt says that the engine works. `replica.py`
runs this and decides what follows; the engine's log lines name the phases meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

from headrace.engines.known_prompt import judge, probe_request
from headrace.local.blueprint import Blueprint
from headrace.local.status import Phase

FIRST_PHASE = "import"
PROMPT_PHASE = "known prompt"
_POLL = 0.25
_HEALTH_TIMEOUT = 5.0
_PROMPT_TIMEOUT = 120.0
_SHOWN = 300
_NOT_NOW = frozenset({httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS})
"""Too busy, or not yet."""


class WrongAnswerError(Exception):
    """The engine answers, but wrongly; the message shows what was expected and what came."""


class Phases:
    """Which start-up phase runs, and how long each one took, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.name = FIRST_PHASE
        self.since = clock()
        self.done: tuple[Phase, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the present phase has run."""
        return self._clock() - self.since if self.name else 0.0

    def begin(self, name: str) -> Phase | None:
        """Start a phase (`""`: none) and return the one that this ends, if any."""
        if name == self.name:
            return None
        ended = Phase(self.name, round(self.seconds, 3)) if self.name else None
        self.done += (ended,) if ended else ()
        self.name, self.since = name, self._clock()
        return ended


async def healthy(client: httpx.AsyncClient, base: str, path: str) -> bool:
    """Whether the engine at `base` says at `path` that it is alive."""
    try:
        answer = await client.get(f"{base}{path}", timeout=_HEALTH_TIMEOUT)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


async def until_healthy(client: httpx.AsyncClient, base: str, path: str) -> None:
    """Return as soon as the engine says that it is alive."""
    while not await healthy(client, base, path):  # noqa: ASYNC110 - another process sets no event here
        await asyncio.sleep(_POLL)


async def prove(client: httpx.AsyncClient, base: str, blueprint: Blueprint) -> None:
    """Return once the engine has given the known answer; WrongAnswerError if it gives another one.

    A broken connection, a 503 or a 429 says nothing yet: either the process ends, which is seen
    elsewhere, or the next try succeeds.
    """
    name = blueprint.served_names[0]
    path, body = probe_request(blueprint.known, name, embeds=blueprint.embeds)
    while True:
        try:
            answer = await client.post(f"{base}{path}", json=body, timeout=_PROMPT_TIMEOUT)
        except httpx.HTTPError:
            await asyncio.sleep(_POLL)
            continue
        if answer.status_code in _NOT_NOW:
            await asyncio.sleep(_POLL)
            continue
        verdict = _verdict(answer, blueprint)
        if verdict is not None:
            raise WrongAnswerError(verdict)
        return


def _verdict(answer: httpx.Response, blueprint: Blueprint) -> str | None:
    if answer.status_code != httpx.codes.OK:
        return f"the known prompt got HTTP {answer.status_code}: {answer.text[:_SHOWN]}"
    try:
        content: Any = answer.json()
    except ValueError:
        return f"the known prompt got something that is not JSON: {answer.text[:_SHOWN]!r}"
    return judge(blueprint.known, content, embeds=blueprint.embeds)
