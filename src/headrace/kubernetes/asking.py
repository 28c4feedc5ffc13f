"""Asks every gateway what it has to do, twice a second, each at its own pace.

Several times a second, because a request at zero waits for it. It costs a gateway some
microseconds: `/demand` has a line for each deployment, where `/metrics` has thousands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import httpx
import msgspec

from headrace.gateway.control import Demand
from headrace.kubernetes.demand import FleetDemand
from headrace.kubernetes.loud import started
from headrace.kubernetes.slices import Endpoint

EVERY = 0.5
"""Seconds between two questions to one gateway."""
_PATIENCE = 2.0
"""Seconds for an answer."""
_decode = msgspec.json.Decoder(list[Demand]).decode


class Asking:
    """One task for each gateway; `told` is called after each answer, and each failure."""

    def __init__(
        self, client: httpx.AsyncClient, books: FleetDemand, told: Callable[[], None]
    ) -> None:
        self.failures = 0
        self._client, self._books, self._told = client, books, told
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}

    def see(self, gateways: Mapping[str, Endpoint]) -> None:
        """Ask these from now on; one that terminates still has clients."""
        self._books.see({name: one.serving for name, one in gateways.items()})
        wanted = {_place(one): one for one in gateways.values()}
        asked = {_place(one): one for one in self._tasks}
        for place in asked.keys() - wanted.keys():
            self._tasks.pop(asked[place]).cancel()
        for place in wanted.keys() - asked.keys():
            one = wanted[place]
            self._tasks[one] = started(self._ask_for_ever(one))
        self._told()

    def close(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _ask_for_ever(self, one: Endpoint) -> None:
        while True:
            began = time.monotonic()
            try:
                demands = await self._ask(one.base)
            except (httpx.HTTPError, msgspec.MsgspecError) as error:
                self.failures += 1
                self._books.failed(one.pod, f"{type(error).__name__}: {error}".rstrip(": "))
            else:
                self._books.heard(one.pod, demands, time.monotonic())
            self._told()
            await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))

    async def _ask(self, base: str) -> list[Demand]:
        answer = await self._client.get(f"{base}/demand", timeout=_PATIENCE)
        answer.raise_for_status()
        return _decode(answer.content)


def _place(one: Endpoint) -> tuple[str, str]:
    return one.uid, one.base
