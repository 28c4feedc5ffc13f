"""Watches a fleet start, tells each step of each Pod, and knows when it serves or never will.

What is there comes by watches, what logs and gateways say is looked up every moment; each time
anything is new, one pure function says how the fleet stands (`status.py`) and another whether that
is the end (`verdict.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from headrace.fleet.types import Fleet
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.errors import ClusterError, ForbiddenError, NotReadyError
from headrace.kubernetes.gather import Looking, parts_of, readers
from headrace.kubernetes.picture import Picture, labels_for
from headrace.kubernetes.recorded import starts_in
from headrace.kubernetes.resource import DEPLOYMENTS, PODS, Resource
from headrace.kubernetes.status import Subject, fleet_status
from headrace.kubernetes.telling import Telling
from headrace.kubernetes.verdict import judge
from headrace.kubernetes.watch import Scope, Watch
from headrace.starts.start import Start
from headrace.view.display import Display
from headrace.view.status import FleetStatus


@dataclass(frozen=True)
class Pace:
    """Seconds: how often logs are read, and how long a fleet may take until it serves."""

    look: float = 2.0
    limit: float = 3600.0


class Following:
    """Follows one fleet; `run` returns when it serves."""

    def __init__(
        self, cluster: Cluster, subject: Callable[[], Subject], display: Display, pace: Pace
    ) -> None:
        self._cluster, self._subject, self._display, self._pace = cluster, subject, display, pace
        self._fleet: Fleet = subject().fleet
        self._namespace = subject().namespace
        self._picture = Picture()
        self._telling = Telling(display.show)
        self._listed: set[str] = set()
        self._news = asyncio.Event()
        self._failure: ClusterError | None = None

    def status(self) -> FleetStatus:
        """Return the fleet as it is known now."""
        return fleet_status(self._picture, self._subject())

    def starts(self) -> list[Start]:
        """Return the starts of the Pods that are ready, phase by phase."""
        return starts_in(self._picture, self._fleet)

    async def run(self) -> None:
        """Return when the fleet serves; NotReadyError says why it does not, or does not yet."""
        parts = await parts_of(self._cluster)
        jobs = [asyncio.ensure_future(self._watch(one)) for one in parts]
        jobs.append(asyncio.ensure_future(self._look(len(parts))))
        jobs.append(asyncio.ensure_future(self._display.run(self.status)))
        try:
            async with asyncio.timeout(self._pace.limit):
                await self._until_over(len(parts))
        except TimeoutError:
            raise NotReadyError(self._late()) from None
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _until_over(self, parts: int) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._failure is not None:
                raise self._failure
            if len(self._listed) < parts:
                continue
            self._telling.tell(self._picture, self._subject().clock)
            verdict = judge(self._picture, self._fleet)
            if verdict.hopeless:
                raise NotReadyError("\n  ".join(["it will not serve:", *verdict.hopeless]))
            if verdict.serves:
                return

    def _late(self) -> str:
        waits = judge(self._picture, self._fleet).waits
        head = f"not all of it serves after {self._pace.limit:g} s, but it goes on starting:"
        return "\n  ".join([head, *waits])

    async def _watch(self, resource: Resource) -> None:
        labels = labels_for(resource, self._fleet.fleet)
        watch = Watch(self._cluster, Scope(resource, self._namespace, labels))
        self._picture.objects[resource.kind] = watch.known
        try:
            async for change in watch:
                self._picture.objects[resource.kind] = watch.known
                if change.kind == "listed":
                    self._listed.add(resource.kind)
                self._news.set()
        except ClusterError as error:
            if isinstance(error, ForbiddenError) and resource not in (PODS, DEPLOYMENTS):
                self._picture.blind[resource.kind] = str(error)
                self._listed.add(resource.kind)
            else:
                self._failure = error
        self._news.set()

    async def _look(self, parts: int) -> None:
        looking = Looking(self._cluster, self._namespace, readers(self._fleet), self._picture)
        while True:
            await asyncio.sleep(self._pace.look)
            if len(self._listed) < parts:
                continue
            try:
                await looking.closer()
            except ClusterError as error:
                self._failure = error
            self._news.set()
