"""Watches a fleet of this machine for a while, and returns what a diagnosis needs of each part.

The supervisor tells the states of replicas, the gateway's store the requests, metrics pages the
queues and batches, `/proc` who uses the machine. What could not be seen is said so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import msgspec

from headrace.bench.samples import Sample
from headrace.bench.scrape import Scraper
from headrace.bench.symptoms import GATEWAY, assigned, look, waiting
from headrace.diagnosis.observation import Event, Observation, Replica, Unseen, Waiting
from headrace.engines.named import engine_named
from headrace.fleet.load import load_fleet
from headrace.fleet.problems import FleetError
from headrace.fleet.types import Fleet
from headrace.local import client
from headrace.local.metrics_pages import metrics_pages
from headrace.local.observing_machine import Snapshot, cores_used, machine, snapshot, starved
from headrace.local.observing_records import Promises, read_requests
from headrace.local.observing_sockets import behind
from headrace.local.state import StateDir
from headrace.view import events as view
from headrace.view.observed import waiting_by_status
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus, ReplicaStatus

EVERY = 1.0
"""Seconds between two looks, where there is time for that."""
_LOOKS = 5
"""Looks at least, however short the time."""
_BEFORE = 86_400.0
"""How far back the requests go that the present ones are compared with, in seconds."""
_EVENTS = 1 << 20
"""Bytes of the journal of events that are read, from its end."""
_WRITTEN = 0.7
"""Seconds after which the gateways have written what ended: they do it twice a second."""
_SERVES = (State.READY, State.DRAINING, State.LEAVING)
_NEEDED = ("running", "waiting", "kv_usage", "preemptions", "generation_tokens")
"""What rules ask of an engine's page, where its version has it."""


@dataclass(frozen=True)
class Watched:
    """What was seen in a fleet: statuses, samples of pages, the machine at both ends.

    Samples have seconds from `zero`, a Unix time; `behind` has (such seconds, clients of the whole
    fleet whose answers the kernel still holds).
    """

    zero: float
    statuses: Sequence[FleetStatus]
    samples: Sequence[Sample]
    behind: Sequence[tuple[float, int | None]]
    first: Snapshot
    last: Snapshot


async def observe(state: StateDir, seconds: float, back: float) -> list[Observation]:
    """Watch for `seconds` and return each deployment, with its requests since `back` before that.

    NotUpError if the fleet is not up or ends meanwhile; StoreError if its records cannot be read.
    """
    status = await client.status(state)
    fleet = _fleet(Path(status.file))
    watched = await watch(state, status, fleet, seconds, back)
    await asyncio.sleep(_WRITTEN)
    return [_deployment(state, one, fleet, watched) for one in watched.statuses[-1].deployments]


def _fleet(file: Path) -> Fleet | None:
    """Return what the fleet's file says now; None where it has become unreadable."""
    try:
        return load_fleet(file).fleet
    except (FleetError, OSError):
        return None


async def watch(
    state: StateDir, status: FleetStatus, fleet: Fleet | None, seconds: float, back: float
) -> Watched:
    """Look at pages and states again and again, and at the machine before and after."""
    every = min(EVERY, seconds / (_LOOKS - 1))
    statuses, samples, late = [status], list[Sample](), list[tuple[float, int | None]]()
    pages = list(metrics_pages(status, fleet, _SERVES))
    scraper = Scraper(pages, every, samples.extend)
    zero, began, first = time.time() - back, monotonic(), snapshot(_roots(status))
    await scraper.begin(began - back)
    try:
        while (left := began + seconds - monotonic()) > 0:
            late.append((back + monotonic() - began, behind(_port(status))))
            await asyncio.sleep(min(every, left))
            statuses.append(await client.status(state))
    finally:
        await scraper.end()
    return Watched(zero, statuses, samples, late, first, snapshot(_roots(statuses[-1])))


def _port(status: FleetStatus) -> int:
    return urlsplit(status.address).port or 0


def _roots(status: FleetStatus) -> list[int]:
    """Return the processes whose cores are counted: the supervisor, and each engine."""
    replicas = (replica for one in status.deployments for replica in one.replicas)
    return [status.pid, *(one.pid for one in replicas if one.pid)]


def _deployment(
    state: StateDir, status: DeploymentStatus, fleet: Fleet | None, watched: Watched
) -> Observation:
    name, zero, all_of_it = status.name, watched.zero, watched.statuses[-1]
    earliest = max(all_of_it.since, zero - _BEFORE)
    requests, earlier = read_requests(state.requests, name, zero, earliest, _promises(fleet))
    return Observation(
        name=name,
        seconds=time.time() - zero,
        requests=requests,
        earlier=earlier,
        replicas=tuple(_replica(one, name, fleet, watched) for one in status.replicas),
        waiting=tuple(_waiting(name, watched)),
        machine=machine(watched.first, watched.last, [all_of_it.pid]),
        events=tuple(_events(state.events, watched, name)),
        unseen=tuple(_unseen(status, fleet, watched)),
    )


def _promises(fleet: Fleet | None) -> Promises:
    routes = fleet.routes if fleet else {}
    return {name: (one.slo.ttft, one.slo.tpot) for name, one in routes.items()}


def _replica(one: ReplicaStatus, deployment: str, fleet: Fleet | None, watched: Watched) -> Replica:
    mine = [sample for sample in watched.samples if sample.source == f"engine:{one.id}"]
    expected, gateway = _expected(deployment, fleet), _gateway(watched)
    ends = watched.first, watched.last
    return Replica(
        name=one.id,
        state=one.state,
        age=one.age,
        room=one.room or None,
        in_flight=one.in_flight,
        cpu=cores_used(*ends, one.pid) if one.pid else None,
        starved=starved(*ends, one.pid) if one.pid else None,
        looks=tuple(look(page, assigned(gateway, page, one.id), expected) for page in mine),
    )


def _expected(deployment: str, fleet: Fleet | None) -> Collection[str]:
    mine = fleet.deployments.get(deployment) if fleet else None
    if mine is None:
        return ()
    sources = engine_named(mine.engine.name, mine.engine.version).metric_sources()
    return [name for name in _NEEDED if sources.get(name)]


def _gateway(watched: Watched) -> list[Sample]:
    return [one for one in watched.samples if one.source == GATEWAY and not one.error]


def _waiting(deployment: str, watched: Watched) -> Iterator[Waiting]:
    """Yield what waited: by the gateway's page, else by the supervisor's word."""
    gateway = _gateway(watched)
    for sample in gateway:
        seen = waiting(sample, f'deployment="{deployment}"')
        late = min(watched.behind, key=lambda one: abs(one[0] - seen.at), default=(0.0, None))[1]
        yield replace(seen, stalled=max(seen.stalled or 0, late or 0))
    if not gateway:
        looks = [(one.since + one.uptime - watched.zero, one) for one in watched.statuses]
        yield from waiting_by_status(deployment, looks)


def _events(journal: Path, watched: Watched, deployment: str) -> Iterator[Event]:
    """Yield what happened to the deployment's replicas, in this fleet's life and our time."""
    zero = watched.zero
    earliest = max(zero, watched.statuses[-1].since)
    for line in _last_lines(journal):
        try:
            one = msgspec.json.decode(line, type=view.Event)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # cut at the beginning, or damaged
            continue
        mine = one.subject == deployment or one.subject.rpartition("-")[0] == deployment
        if one.at >= earliest and mine:
            at = one.at - zero
            yield Event(at=at, kind=one.kind, subject=one.subject, text=one.text, told=one.told)


def _last_lines(file: Path) -> list[bytes]:
    try:
        with file.open("rb") as journal:
            journal.seek(max(0, file.stat().st_size - _EVENTS))
            return journal.read(_EVENTS).splitlines()
    except OSError:
        return []


def _unseen(status: DeploymentStatus, fleet: Fleet | None, watched: Watched) -> Iterator[Unseen]:
    if not watched.statuses[-1].admin:
        yield Unseen(
            what="clients that do not take their answers, now", remedy="set gateway.admin_port"
        )
    if fleet is None or status.name not in fleet.deployments:
        remedy = "`headrace validate` the file, then `headrace reload`"
        yield Unseen(
            what="engines' metrics and promises: the fleet file no longer says", remedy=remedy
        )
