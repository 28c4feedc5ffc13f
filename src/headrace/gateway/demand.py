"""What all living gateways of a fleet together have to do.

A replica that drains must wait for the streams of every gateway, and scaling must see all work: on
one machine there are two while one replaces another, in a cluster there are always several.
`headrace.local.gateway_link` keeps these books; `headrace.kubernetes.demand` has its own, as there
a gateway may be silent without having ended.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from headrace.gateway.control import Demand


class DemandBooks:
    """The last demand of each deployment by gateway (its process id)."""

    def __init__(self) -> None:
        self._last: dict[int, dict[str, Demand]] = {}
        self._arrived: Counter[str] = Counter()

    def take(self, gateway: int, demand: Demand) -> None:
        """Note what a gateway says."""
        self._last.setdefault(gateway, {})[demand.deployment] = demand

    def forget(self, gateway: int) -> None:
        """Take a gateway that ended out of all sums; what has arrived there has arrived."""
        for name, demand in self._last.pop(gateway, {}).items():
            self._arrived[name] += demand.arrived

    def total(self, deployment: str, newest: int | None) -> Demand | None:
        """Return the sum over all gateways; None while the newest has said nothing yet.

        Its clients are not known then, and zero would be a lie that stops replicas.
        """
        if newest is None or deployment not in self._last.get(newest, {}):
            return None
        told = [one[deployment] for one in self._last.values() if deployment in one]
        return added(deployment, told, self._arrived[deployment])

    def of(self, gateway: int) -> int:
        """Return the requests that a gateway holds, queues or runs."""
        told = self._last.get(gateway, {}).values()
        return sum(one.held + one.queued + one.running for one in told)

    @property
    def deployments(self) -> set[str]:
        """All deployments that a living gateway has spoken of."""
        return {name for one in self._last.values() for name in one}


def added(deployment: str, told: Iterable[Demand], arrived: int = 0) -> Demand:
    """Return the sum of what gateways told; `arrived` requests came to ones that are gone."""
    replicas: Counter[str] = Counter()
    routes: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    held = queued = running = 0
    for one in told:
        held, queued, running = held + one.held, queued + one.queued, running + one.running
        arrived += one.arrived
        replicas.update(one.replicas)
        for name, (waits, runs) in one.routes.items():
            routes[name] = (routes[name][0] + waits, routes[name][1] + runs)
    return Demand(
        deployment=deployment,
        held=held,
        queued=queued,
        running=running,
        arrived=arrived,
        replicas=dict(replicas),
        routes=dict(routes),
    )
