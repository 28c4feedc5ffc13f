"""`headrace scaler FILE`: tells KEDA how much work the gateways have, before any engine knows.

EndpointSlices say which gateways there are (`services.py`), each is asked (`asking.py`), the books
add it up (`demand.py`), and KEDA is answered by the fleet file's scaling (`keda_service.py`).
Nothing is kept: a scaler that starts anew knows as much within a second, and until then it says
that it knows nothing, which holds all counts. Beside that it watches the engines' Pods and says in
its log and its metrics what their starts took (`recorded.py`): nobody else sees all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import msgspec
import prometheus_client
from lightkube.config.kubeconfig import SingleConfig

from headrace.gateway.control import Demand
from headrace.kubernetes import names, pods
from headrace.kubernetes.asking import Asking
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.config_files import ConfigFiles
from headrace.kubernetes.demand import FleetDemand, Total
from headrace.kubernetes.errors import ClusterError
from headrace.kubernetes.keda_service import KedaService, Signal
from headrace.kubernetes.listening import ListenError, bound
from headrace.kubernetes.picture import selector
from headrace.kubernetes.recorded import SAID, Book
from headrace.kubernetes.resource import PODS, Object
from headrace.kubernetes.scaler_pages import Pages, Standing
from headrace.kubernetes.services import Found, Services, View
from headrace.kubernetes.watch import Scope, Watch
from headrace.starts.figures import StartFigures, figures
from headrace.starts.subjects import subject_in

_WHO = "scaler"
_REFUSED = 60.0
"""Seconds until Pods are looked at again by a scaler whose role does not let it."""
_GRACE = 5.0
"""Seconds for KEDA to get its answers when the scaler is told to end."""


@dataclass(frozen=True)
class Place:
    """Where a scaler listens; `namespace` None is the fleet's name, `keep` is in seconds."""

    listen: str
    admin: str
    namespace: str | None
    keep: float


def serve(path: Path, place: Place, config: SingleConfig) -> None:
    """Serve until SIGTERM; FleetError or ClusterError if it cannot begin."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types
    files = ConfigFiles(path, _WHO, keys=False)
    asyncio.run(_Scaler(files, place).run(config))


class _Scaler:
    def __init__(self, files: ConfigFiles, place: Place) -> None:
        self._files, self._place = files, place
        self._books = FleetDemand(place.keep)
        self._starts = Book()
        self._synced = False

    async def run(self, config: SingleConfig) -> None:
        self._news = Signal()
        fleet = self._files.edition.file.fleet
        self._service = KedaService(lambda: self._files.edition.file.fleet, self._total, self._news)
        admin = names.gateway_admin(fleet.fleet)
        view = View(self._place.namespace or fleet.fleet, frozenset((admin,)), names.ADMIN)
        async with httpx.AsyncClient(trust_env=False) as client, Cluster(config) as cluster:
            self._asking = Asking(client, "/demand", list[Demand], self._heard, self._failed)
            self._services = Services(cluster, view, lambda found: self._see(found, admin), _WHO)
            labels = f"{selector(fleet.fleet)},{names.COMPONENT}={pods.ENGINE}"
            self._scope = Scope(PODS, view.namespace, labels)
            self._cluster = cluster
            try:
                await self._serve()
            finally:
                self._asking.close()

    async def _serve(self) -> None:
        told = asyncio.Event()  # whoever reads that it serves may end it
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        # Two servers on one address would share KEDA's calls without anybody's noticing.
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((self._service.handler(),))
        port = _bound(server, self._place.listen)
        pages = await Pages(self._standing).serve(bound(self._place.admin))
        await server.start()
        about = pages.sockets[0].getsockname()
        sys.stderr.write(f"{_WHO}: serving KEDA on port {port}, health on port {about[1]}\n")
        try:
            await self._until(told)
        finally:
            await server.stop(_GRACE)
            pages.close()

    async def _until(self, told: asyncio.Event) -> None:
        tasks = [
            asyncio.ensure_future(told.wait()),
            asyncio.ensure_future(self._services.run()),
            asyncio.ensure_future(self._files.follow(self._news.send)),
            asyncio.ensure_future(self._watch_starts()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # but for the first they never end, except by a defect of ours
                await task
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _watch_starts(self) -> None:
        """Tell every start of an engine's Pod, for ever; it is extra, so nothing of it ends us."""
        while True:
            watch = Watch(self._cluster, self._scope)
            try:
                async for change in watch:
                    if change.kind != "added":  # those of the first list are told together
                        self._tell_starts(watch.known)
            except (ClusterError, ValueError) as error:  # ValueError: half a line
                sys.stderr.write(f"{_WHO}: starts of Pods are not seen: {error}\n")
            await asyncio.sleep(_REFUSED)

    def _tell_starts(self, there: Mapping[str, Object]) -> None:
        fleet = self._files.edition.file.fleet
        for start in self._starts.see(there, fleet, time.time()):
            sys.stderr.write(f"{SAID}{msgspec.json.encode(start).decode()}\n")

    def _figures(self, name: str) -> StartFigures | None:
        fleet = self._files.edition.file.fleet
        deployment = fleet.deployments[name]
        hardware = fleet.hardware[deployment.hardware]
        subject = subject_in("kubernetes", name, deployment, hardware)
        return figures(self._starts.starts, subject)

    def _see(self, found: Found, admin: str) -> None:
        self._synced = True
        gateways = found.get(admin, {})
        self._books.see({name: one.serving for name, one in gateways.items()})
        self._asking.see(gateways)
        self._news.send()

    def _heard(self, gateway: str, demands: list[Demand]) -> None:
        self._books.heard(gateway, demands, time.monotonic())
        self._news.send()

    def _failed(self, gateway: str, why: str) -> None:
        self._books.failed(gateway, why)
        self._news.send()

    def _total(self, deployment: str) -> Total:
        return self._books.total(deployment, time.monotonic())

    def _standing(self) -> Standing:
        return Standing(
            synced=self._synced,
            gateways=self._books.known,
            silent=len(self._books.silent(time.monotonic())),
            totals={name: self._total(name) for name in self._files.edition.served},
            failures=self._asking.failures,
            errors=self._service.errors,
            pushes=self._service.pushes,
            streams=self._service.streams,
            starts={name: self._figures(name) for name in self._files.edition.served},
        )


def _bound(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:  # grpc's word for an address that is taken
        raise ListenError(address, error) from error
