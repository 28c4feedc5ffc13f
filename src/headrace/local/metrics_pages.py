"""The metrics pages of a fleet that is up: its gateway's, and those of its replicas."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from headrace.bench.scrape import Listing
from headrace.bench.symptoms import GATEWAY
from headrace.bench.target import Page
from headrace.engines.named import engine_named
from headrace.fleet.types import Fleet
from headrace.local import client
from headrace.local.errors import LocalError
from headrace.local.launching import HOST
from headrace.local.state import StateDir
from headrace.view.states import State
from headrace.view.status import FleetStatus

ANSWERS = (State.PROBING, State.READY, State.DRAINING, State.LEAVING)
"""States in which an engine's server is there, before its first request and after its last."""


def following(state: StateDir, fleet: Fleet, more: Sequence[Page]) -> Listing:
    """Return a function that asks the fleet for its pages, and adds `more`; None if it is gone."""

    async def listing() -> Sequence[Page] | None:
        try:
            status = await client.status(state)
        except LocalError:
            return None
        return [*metrics_pages(status, fleet, ANSWERS), *more]

    return listing


def metrics_pages(
    status: FleetStatus, fleet: Fleet | None, states: Collection[State]
) -> Iterator[Page]:
    """Yield the gateway's page, and those of replicas in one of `states` that have a port.

    What `fleet` does not declare (any more) has none, as nobody knows whose metrics those are.
    """
    if status.admin:
        yield Page(url=f"{status.admin}/metrics", source=GATEWAY)
    for one in status.deployments:
        declared = fleet.deployments.get(one.name) if fleet else None
        if declared is None:
            continue
        engine = engine_named(declared.engine.name, declared.engine.version)
        for replica in one.replicas:
            if replica.port and replica.state in states:
                yield Page(
                    url=f"http://{HOST}:{replica.port}{engine.metrics_path}",
                    source=f"engine:{replica.id}",
                    engine=engine.name,
                    version=engine.version,
                )
