"""The Pods behind some Services, followed for as long as the process lives.

What was known stays known while the API server is away: engines answer without it. The gateway and
the scaler look through this; `watch.py` goes on after breaks, `slices.py` reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.errors import ClusterError
from headrace.kubernetes.resource import ENDPOINT_SLICES
from headrace.kubernetes.slices import SERVICE, Endpoint, endpoints
from headrace.kubernetes.watch import Scope, Watch

_PAUSES = (0.1, 0.2, 0.5, 1.0)
"""Seconds between two connections: a Pod that is marked meanwhile still gets requests."""
_SECONDS = 60
"""Longest life of a connection: one that died unnoticed is found out so much later."""
_REFUSED = 5.0
"""Seconds until somebody who may not look tries again: rights may come after the Pod."""

Found = Mapping[str, Mapping[str, Endpoint]]
"""Endpoints by Service and Pod."""


@dataclass(frozen=True)
class View:
    """Which Services of a namespace are looked at, and the name of the port that matters."""

    namespace: str
    services: frozenset[str]
    port: str


class Services:
    """Calls `hear` with all that is known, after each change and once after the first list."""

    def __init__(
        self, cluster: Cluster, view: View, hear: Callable[[Found], None], who: str
    ) -> None:
        self.failures = 0
        """Times that the API server refused."""
        self._cluster, self._hear, self._who = cluster, hear, who
        self._view = view
        self._changed = asyncio.Event()

    def look_at(self, services: Iterable[str]) -> None:
        """Look at other Services from now on."""
        wanted = frozenset(services)
        if wanted != self._view.services:
            self._view = View(self._view.namespace, wanted, self._view.port)
            self._changed.set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._changed.clear()
            watching = asyncio.ensure_future(self._watch(self._view))
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait((watching, changed), return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    await watching  # raises what went wrong
            except (ClusterError, ValueError) as error:  # ValueError: half a line
                self.failures += 1
                sys.stderr.write(f"{self._who}: endpoints: {error}; trying again\n")
                await asyncio.sleep(_REFUSED)
            finally:
                for task in (watching, changed):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, ClusterError, ValueError):
                        await task

    async def _watch(self, view: View) -> None:
        labels = f"{SERVICE} in ({','.join(sorted(view.services))})"
        scope = Scope(ENDPOINT_SLICES, view.namespace, labels=labels, seconds=_SECONDS)
        watch = Watch(self._cluster, scope, _PAUSES)
        synced = False
        async for change in watch:
            synced = synced or change.kind == "listed"
            if synced:
                self._hear(endpoints(watch.known.values(), view.port))
