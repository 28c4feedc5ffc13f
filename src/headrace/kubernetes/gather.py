"""Fills a picture with what no list of objects tells: logs of starts, last words, gateways' counts.

Everything here is extra: where the caller may not read it, the picture says so once and the rest
still holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from headrace.engines.emulated import Emulated
from headrace.engines.named import engine_named
from headrace.fleet.types import Fleet
from headrace.gateway.control import Demand
from headrace.kubernetes import pods
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.discovery import discover
from headrace.kubernetes.errors import ForbiddenError
from headrace.kubernetes.names import ADMIN_PORT, GATEWAY
from headrace.kubernetes.phases import logged_phases
from headrace.kubernetes.picture import (
    LEADER_WORKER_SETS,
    LOGS,
    PARTS,
    Picture,
    Verdicts,
    labels_for,
)
from headrace.kubernetes.resource import PODS, Object, Resource
from headrace.kubernetes.times import iso

_START_BYTES = 2**20
"""Of an engine's log: its start is at the beginning."""
_LAST_LINES = "200"
_VERDICT_LINES = "2000"
_AT_ONCE = 8
_PATIENCE = 3.0
"""Seconds for a gateway to say what is in flight."""
_WRONG = re.compile(
    r"Pod (?P<pod>[a-z0-9.-]+) at \S+: WRONG ANSWER[^:]*: (?P<why>.*?)(?:; asking.*|; it gets.*)?$"
)
_RIGHT = re.compile(r"Pod (?P<pod>[a-z0-9.-]+) at \S+: answers rightly")
"""Both as `candidate.py` writes them; its log is read because a policy may bar the admin port."""
_demands = msgspec.json.Decoder(list[Demand]).decode


@runtime_checkable
class _Reader(Protocol):
    """An engine whose log Headrace can read."""

    def phase(self, line: str) -> str | None: ...

    def last_words(self, lines: Sequence[str]) -> str: ...


Readers = Mapping[str, _Reader]
"""By deployment."""


def readers(fleet: Fleet) -> Readers:
    """Return the engines of a fleet whose logs can be read."""
    found = {}
    for name, deployment in fleet.deployments.items():
        engine = engine_named(deployment.engine.name, deployment.engine.version)
        twin = fleet.hardware[deployment.hardware].kind == "emulated"
        running = Emulated(engine) if twin else engine
        if isinstance(running, _Reader):
            found[name] = running
    return found


async def gather(cluster: Cluster, namespace: str, fleet: Fleet) -> Picture:
    """Return how the fleet is now."""
    looking = Looking(cluster, namespace, readers(fleet), Picture())
    picture = looking.picture

    async def read(resource: Resource) -> None:
        with noting(picture, f"read {resource.plural}"):
            found = await cluster.find(resource, namespace, labels_for(resource, fleet.fleet))
            picture.objects[resource.kind] = {one["metadata"]["uid"]: one for one in found.items}

    await asyncio.gather(*(read(one) for one in await parts_of(cluster)))
    await looking.closer(ready_ones=True)
    return picture


async def parts_of(cluster: Cluster) -> list[Resource]:
    """Return the kinds that this cluster has of those that are read."""
    sets = LEADER_WORKER_SETS
    kinds = await discover(cluster, [sets.api_version])
    return [*PARTS, *([sets] if (sets.api_version, sets.kind) in kinds else [])]


@contextlib.contextmanager
def noting(picture: Picture, what: str) -> Iterator[None]:
    """Note in the picture what may not be read, and go on."""
    try:
        yield
    except ForbiddenError as error:
        picture.blind[what] = f"cannot {what}: {error}"


class Looking:
    """Reads what stands in logs and behind gateways' admin ports into a picture."""

    def __init__(
        self, cluster: Cluster, namespace: str, engines: Readers, picture: Picture
    ) -> None:
        self.picture = picture
        self._cluster, self._namespace, self._engines = cluster, namespace, engines
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def closer(self, *, ready_ones: bool = False) -> None:
        """Look at Pods that start or died and ask gateways; `ready_ones`: how they started, too."""
        jobs: list[Awaitable[None]] = []
        for pod in self.picture.of("Pod"):
            if pods.component_of(pod) == GATEWAY and pods.is_running(pod):
                jobs.append(self._verdicts(pod))
            if pods.death(pods.container(pod, pods.main_container(pod))):
                jobs.append(self._last_words(pod))
            if self._starts(pod) or (ready_ones and pods.is_running(pod)):
                jobs.append(self._start(pod))
        await asyncio.gather(*jobs, self._ask_gateways())

    def _starts(self, pod: Object) -> bool:
        return pods.is_running(pod) and not pods.holds(pod, "Ready")

    async def _start(self, pod: Object) -> None:
        """Read which phases an engine's log began; what is known of them is not read again."""
        engine = self._engines.get(pods.deployment_of(pod))
        if engine is None or pods.component_of(pod) != pods.ENGINE:
            return
        began = pods.started(pods.container(pod, pods.main_container(pod))) or 0.0
        known = [one for one in self.picture.marks.get(pods.uid_of(pod), []) if one[0] >= began - 1]
        since = {"sinceTime": iso(known[-1][0])} if known else {"limitBytes": str(_START_BYTES)}
        lines = await self._log(pod, {"timestamps": "true", **since})
        last = known[-1][0] if known else began - 1
        new = [one for one in logged_phases(lines, engine.phase) if one[0] > last]
        self.picture.marks[pods.uid_of(pod)] = [*known, *new]

    async def _last_words(self, pod: Object) -> None:
        """Read why a container died, from its own log: of its former self if it runs or waits."""
        status = pods.container(pod, pods.main_container(pod))
        gone = "terminated" in (status.get("state") or {})
        former = {} if gone else {"previous": "true"}
        lines = await self._log(pod, {"tailLines": _LAST_LINES, **former})
        engine = self._engines.get(pods.deployment_of(pod))
        read = engine.last_words if engine and pods.component_of(pod) == pods.ENGINE else _last
        self.picture.words[pods.uid_of(pod)] = read(lines)

    async def _verdicts(self, pod: Object) -> None:
        """Read which Pods this gateway found to answer the known prompt rightly, and wrongly."""
        right: set[str] = set()
        wrong: dict[str, str] = {}
        lines = await self._log(pod, {"tailLines": _VERDICT_LINES})
        for line in lines:
            if found := _WRONG.search(line):
                wrong[found["pod"]] = found["why"]
                right.discard(found["pod"])
            elif found := _RIGHT.search(line):
                right.add(found["pod"])
                wrong.pop(found["pod"], None)
        if lines:
            self.picture.verdicts[pods.name_of(pod)] = Verdicts(frozenset(right), wrong)

    async def _ask_gateways(self) -> None:
        running = [
            pod
            for pod in self.picture.of("Pod")
            if pods.component_of(pod) == GATEWAY and pods.is_running(pod)
        ]
        told = await asyncio.gather(*(self._demand(pod) for pod in running))
        answered = [one for one in told if one is not None]
        self.picture.demands = answered or None

    async def _demand(self, pod: Object) -> list[Demand] | None:
        """Return what a gateway has to do, None if it cannot be asked through the API server."""
        path = PODS.path(self._namespace, f"{pods.name_of(pod)}:{ADMIN_PORT}")
        what = "ask gateways what is in flight"
        with noting(self.picture, what):
            page = await self._cluster.page(f"{path}/proxy/demand", what, _PATIENCE)
            if page is not None:
                return _demands(page)
            self.picture.blind[what] = f"cannot {what}: the API server does not reach them"
        return None

    async def _log(self, pod: Object, params: dict[str, str]) -> list[str]:
        asked = {"container": pods.main_container(pod), **params}
        async with self._limit:
            with noting(self.picture, LOGS):
                return await self._cluster.log(self._namespace, pods.name_of(pod), asked)
        return []


def _last(lines: Sequence[str]) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
