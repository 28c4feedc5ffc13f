"""`headrace gateway serve FILE`: the gateway in a cluster, and its runtime in the same process.

The gateway is the one that serves on a single machine (`headrace.gateway`); what tells it of
replicas here are EndpointSlices (`services.py`) and the known prompt (`candidates.py`), and of
routes the mounted fleet file (`config_files.py`). SIGTERM drains it as at home; meanwhile it goes
on looking, so that a stream can still be continued on another Pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvloop
from lightkube.config.kubeconfig import SingleConfig

from headrace.gateway import control, from_fleet, process
from headrace.gateway.from_fleet import Files
from headrace.gateway.service import Service
from headrace.kubernetes import names
from headrace.kubernetes.candidate import Pace, Site
from headrace.kubernetes.candidates import Candidates
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.config_files import ConfigFiles
from headrace.kubernetes.gateway_metrics import PodMetrics, Seen
from headrace.kubernetes.listening import bound
from headrace.kubernetes.neighbours import Neighbours
from headrace.kubernetes.services import Found, Services, View
from headrace.ledger.peers import Spending

ENGINE_PORT = "http"
"""Name of the port of an engine's Service that takes requests."""
_WHO = "gateway"


@dataclass(frozen=True)
class Place:
    """Where a gateway listens and writes; `namespace` None is the fleet's name.

    `drain` is in seconds, for running requests after SIGTERM; None: the longest drain of the file.
    """

    listen: str
    admin: str
    state: Path
    namespace: str | None
    drain: float | None


def serve(path: Path, place: Place, config: SingleConfig, pace: Pace | None = None) -> None:
    """Serve until told to end; FleetError or ClusterError if it cannot begin."""
    files = ConfigFiles(path, _WHO)
    place.state.mkdir(parents=True, exist_ok=True)
    listener, admin = bound(place.listen), bound(place.admin)
    process.prepare()
    runtime = _Runtime(files, place, pace or Pace())
    uvloop.run(runtime.run(config, listener, admin))


class _Runtime:
    """Tells the gateway what the files and the cluster say."""

    def __init__(self, files: ConfigFiles, place: Place, pace: Pace) -> None:
        self._files, self._place, self._pace = files, place, pace
        self._found: Found = {}
        self._deployments: dict[str, Candidates] = {}

    async def run(
        self, config: SingleConfig, listener: socket.socket, admin: socket.socket
    ) -> None:
        drain = self._longest_drain() if self._place.drain is None else self._place.drain
        self._service = Service(listener, None, admin=admin, drain_timeout=drain, hear=self._hear)
        self._admin = admin.getsockname()[:2]
        self._service.gateway.synced = False
        limits = httpx.Limits(max_keepalive_connections=0)  # engines close idle connections
        async with httpx.AsyncClient(trust_env=False, limits=limits) as client:
            self._site = Site(client, self._pace, {})
            self._neighbours = Neighbours(client, self._told)
            async with Cluster(config) as cluster:
                self._services = Services(cluster, self._view(), self._see, _WHO)
                self._gateways = Services(cluster, self._admin_view(), self._see_gateways, _WHO)
                await self._live()

    async def _live(self) -> None:
        self._service.gateway.metrics.registry.register(PodMetrics(self._seen))
        self._configure()
        looking = [
            asyncio.ensure_future(self._services.run()),
            asyncio.ensure_future(self._gateways.run()),
            asyncio.ensure_future(self._files.follow(self._configure)),
        ]
        serving = asyncio.ensure_future(self._service.run())
        try:
            done, _ = await asyncio.wait((serving, *looking), return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # those that look never end, but by a defect of ours
                await task
        finally:
            self._neighbours.close()
            for one in self._deployments.values():
                one.close()
            for task in (serving, *looking):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    # From the files.

    def _longest_drain(self) -> float:
        deployments = self._files.edition.file.fleet.deployments.values()
        return max(one.lifecycle.drain for one in deployments)

    @property
    def _namespace(self) -> str:
        return self._place.namespace or self._files.edition.file.fleet.fleet

    def _view(self) -> View:
        return View(self._namespace, frozenset(self._names().values()), ENGINE_PORT)

    @property
    def _admin_service(self) -> str:
        return names.gateway_admin(self._files.edition.file.fleet.fleet)

    def _admin_view(self) -> View:
        return View(self._namespace, frozenset((self._admin_service,)), names.ADMIN)

    def _names(self) -> dict[str, str]:
        """Return the Service of each deployment."""
        fleet = self._files.edition.file.fleet
        return {name: names.engine(fleet.fleet, name) for name in fleet.deployments}

    def _configure(self) -> None:
        """Serve what the files say now; Pods that stay keep what was found out about them."""
        edition, place = self._files.edition, self._place
        files = Files(place.state / "requests.db", place.state / "usage.db")
        wanted = from_fleet.configuration(
            edition.file.fleet, edition.served.values(), files, self._files.keys.keys
        )
        self._service.obey(wanted)
        self._neighbours.obey(wanted.routes, wanted.keys or ())
        for name in self._deployments.keys() - edition.served.keys():
            self._deployments.pop(name).close()
        for name, served in edition.served.items():
            if name in self._deployments:
                self._deployments[name].adopt(served)
            else:
                self._deployments[name] = Candidates(served, self._site, self._service.obey)
        self._services.look_at(self._names().values())

    # From the cluster, and from the gateway.

    def _see(self, found: Found) -> None:
        self._found = found
        for name, service in self._names().items():
            self._deployments[name].see(found.get(service, {}))
        self._service.gateway.synced = True

    def _see_gateways(self, found: Found) -> None:
        self._neighbours.see(found.get(self._admin_service, {}))

    def _told(self, spending: Spending) -> None:
        self._service.gateway.director.ledger.hear(spending)

    def _hear(self, message: control.FromGateway) -> None:
        match message:
            case control.Fault() if message.deployment in self._deployments:
                self._deployments[message.deployment].suspect(message.replica)
            case control.Listening():
                host, port = self._admin
                where = f"{message.host}:{message.port}, admin on {host}:{port}"
                sys.stderr.write(f"{_WHO}: serving on {where}\n")
            case control.Draining():
                sys.stderr.write(f"{_WHO}: takes nothing new, finishes what it has and ends\n")

    def _seen(self) -> Seen:
        return Seen(
            pods={name: one.states() for name, one in self._deployments.items()},
            wrong=self._site.wrong,
            api_failures=self._services.failures + self._gateways.failures,
            neighbour_failures=self._neighbours.failures,
            file_failures=self._files.failures,
        )
