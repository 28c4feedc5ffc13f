"""Asks every gateway for a page, twice a second, each at its own pace.

The scaler asks what there is to do (`/demand`), gateways ask each other what they let in
(`/usage`). Several times a second, because a request at zero waits for the one, and limits are
exceeded by what comes between two of the other. It costs a gateway some microseconds: these pages
have a line for each deployment or key, where `/metrics` has thousands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import httpx
import msgspec

from headrace.kubernetes.loud import started
from headrace.kubernetes.slices import Endpoint

EVERY = 0.5
"""Seconds between two questions to one gateway."""
_PATIENCE = 2.0
"""Seconds for an answer."""
Page = TypeVar("Page")


class Asking(Generic[Page]):
    """One task for each gateway, which asks for a page of a type.

    `heard` is called with a Pod's name and its page, `failed` with its name and what went wrong.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        path: str,
        kind: type[Page],
        heard: Callable[[str, Page], None],
        failed: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.failures = 0
        self._client, self._path = client, path
        self._heard, self._failed = heard, failed
        self._decode = msgspec.json.Decoder(kind).decode
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}

    def see(self, gateways: Mapping[str, Endpoint]) -> None:
        """Ask these from now on; one that terminates still has clients."""
        wanted = {_place(one): one for one in gateways.values()}
        asked = {_place(one): one for one in self._tasks}
        for place in asked.keys() - wanted.keys():
            self._tasks.pop(asked[place]).cancel()
        for place in wanted.keys() - asked.keys():
            one = wanted[place]
            self._tasks[one] = started(self._ask_for_ever(one))

    def close(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _ask_for_ever(self, one: Endpoint) -> None:
        while True:
            began = time.monotonic()
            try:
                page = await self._ask(one.base)
            except (httpx.HTTPError, msgspec.MsgspecError) as error:
                self.failures += 1
                self._failed(one.pod, f"{type(error).__name__}: {error}".rstrip(": "))
            else:
                self._heard(one.pod, page)
            await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))

    async def _ask(self, base: str) -> Page:
        answer = await self._client.get(f"{base}{self._path}", timeout=_PATIENCE)
        answer.raise_for_status()
        return self._decode(answer.content)


def _place(one: Endpoint) -> tuple[str, str]:
    return one.uid, one.base
