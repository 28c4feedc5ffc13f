"""The known prompt, asked: whether an engine at an address answers rightly.

Its health page only says that a port is open; the known prompt says that the engine works. Both
runtimes ask before a replica gets its first request, and again when it is suspected (`look.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx

from headrace.engines.known_prompt import judge, probe_request, silent
from headrace.fleet.types import KnownPrompt

_POLL = 0.25
_HEALTH_TIMEOUT = 5.0
_PROMPT_TIMEOUT = 120.0
_SHOWN = 300
_NOT_NOW = frozenset({httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS})
"""Too busy, or not yet."""


class Pages(Protocol):
    """Where an engine says how it is."""

    @property
    def health_path(self) -> str:
        """Where its API's port says that it is alive."""
        ...

    @property
    def metrics_path(self) -> str:
        """Where its API's port has Prometheus' page."""
        ...

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return the engine's metric names by canonical name, the first that is present counts."""
        ...


class Provable(Protocol):
    """What must be known of a deployment to ask its replicas."""

    @property
    def engine(self) -> Pages:
        """Its engine, in its version."""
        ...

    @property
    def served_names(self) -> tuple[str, ...]:
        """What its engine calls the model; at least one."""
        ...

    @property
    def known(self) -> KnownPrompt | None:
        """Its known prompt; None: the engines' default."""
        ...

    @property
    def embeds(self) -> bool:
        """Whether the known prompt asks for an embedding instead of a completion."""
        ...


class WrongAnswerError(Exception):
    """The engine answers, but wrongly; the message shows what was expected and what came.

    `silent`: that was nothing, as of an engine that drains.
    """

    def __init__(self, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


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


async def prove(client: httpx.AsyncClient, base: str, deployment: Provable) -> None:
    """Return once the engine has given the known answer; WrongAnswerError if it gives another one.

    A broken connection, a 503 or a 429 says nothing yet: either the process ends, which is seen
    elsewhere, or the next try succeeds.
    """
    name = deployment.served_names[0]
    path, body = probe_request(deployment.known, name, embeds=deployment.embeds)
    while True:
        try:
            answer = await client.post(f"{base}{path}", json=body, timeout=_PROMPT_TIMEOUT)
        except httpx.HTTPError:
            await asyncio.sleep(_POLL)
            continue
        if answer.status_code in _NOT_NOW:
            await asyncio.sleep(_POLL)
            continue
        _check(answer, deployment)
        return


def _check(answer: httpx.Response, deployment: Provable) -> None:
    if answer.status_code != httpx.codes.OK:
        raise WrongAnswerError(
            f"the known prompt got HTTP {answer.status_code}: {answer.text[:_SHOWN]}"
        )
    try:
        content: Any = answer.json()
    except ValueError as error:
        raise WrongAnswerError(
            f"the known prompt got something that is not JSON: {answer.text[:_SHOWN]!r}"
        ) from error
    verdict = judge(deployment.known, content, embeds=deployment.embeds)
    if verdict is not None:
        raise WrongAnswerError(verdict, silent=silent(content))
