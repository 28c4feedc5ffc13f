"""All deployments of a running fleet: for each a set of replicas, and the rules that scale it.

Demand comes from the gateway and goes to both; counts go from the rules to the replicas, replicas
back to the gateway. `supervisor.py` owns this; `rollout.py` adds, changes and removes deployments.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from headrace.gateway import control as gateway
from headrace.local.autoscale import Autoscaler
from headrace.local.blueprint import Blueprint
from headrace.local.errors import LocalError
from headrace.local.journal import Journal
from headrace.local.replica import Site
from headrace.local.replicaset import ReplicaSet
from headrace.local.waiting import cancel
from headrace.scaling.decide import Decision
from headrace.view.events import event
from headrace.view.status import DeploymentStatus

Tell = Callable[[gateway.Replicas], None]


class UnknownDeploymentError(LocalError):
    """No deployment of this fleet has that name, or it cannot have that many replicas."""


@dataclass
class Deployed:
    """One deployment; `heard` is when the gateway last spoke of it (monotonic seconds)."""

    replicas: ReplicaSet
    scaler: Autoscaler
    deciding: asyncio.Task[None] | None = None
    stats: dict[str, gateway.ReplicaStats] = field(default_factory=dict)
    heard: float = 0.0


class Deployments:
    """The deployments by name; `tell` gets what the gateway should know after each change."""

    def __init__(
        self, site: Site, tasks: asyncio.TaskGroup, decisions: Journal, tell: Tell
    ) -> None:
        self._site, self._tasks, self._decisions, self._tell = site, tasks, decisions, tell
        self._all: dict[str, Deployed] = {}

    def __getitem__(self, name: str) -> Deployed:
        return self._all[name]

    @property
    def sets(self) -> list[ReplicaSet]:
        """The replicas of all deployments."""
        return [one.replicas for one in self._all.values()]

    def add(self, blueprint: Blueprint) -> Deployed:
        """Start a deployment with as many replicas as its file says."""
        name = blueprint.name
        replicas = ReplicaSet(blueprint, self._site, self._tasks, partial(self._changed, name))
        scaling = blueprint.deployment.scaling
        scaler = Autoscaler(name, scaling, partial(self._scaled, name), self._decisions)
        self._all[name] = Deployed(replicas, scaler)
        replicas.scale(scaler.desired)
        self._all[name].deciding = self._tasks.create_task(scaler.run())
        return self._all[name]

    def adopt(self, blueprint: Blueprint) -> None:
        """Go by the blueprint's scaling, times and names from now on."""
        deployed = self._all[blueprint.name]
        deployed.replicas.adopt(blueprint)
        deployed.scaler.follow(blueprint.deployment.scaling)

    def forget(self, name: str) -> None:
        """Take out a deployment whose replicas are gone."""
        del self._all[name]

    async def rest(self, names: Iterable[str] | None = None) -> None:
        """Decide no more about these deployments (default: all); what runs goes on."""
        chosen = self._all if names is None else names
        tasks = (self._all[name].deciding for name in chosen)
        await cancel(*(task for task in tasks if task))

    def scale(self, name: str, count: int | None) -> None:
        """Fix a count (None: by the rules again) and forget crashes; UnknownDeploymentError."""
        if name not in self._all:
            known = ", ".join(self._all)
            raise UnknownDeploymentError(f"no deployment is named '{name}'; known: {known}")
        deployed = self._all[name]
        highest = deployed.replicas.blueprint.deployment.scaling.max
        if count is not None and not 0 <= count <= highest:
            raise UnknownDeploymentError(
                f"{count} replicas are outside 0 to {highest}; {highest} is "
                f"deployments.{name}.scaling.max in the fleet file"
            )
        deployed.scaler.pause(count)
        deployed.replicas.retry()

    def statuses(self) -> tuple[DeploymentStatus, ...]:
        """Return what `headrace status` shows."""
        return tuple(
            one.replicas.snapshot(why=one.scaler.why, paused=one.scaler.paused)
            for one in self._all.values()
        )

    # What flows through.

    def hear(self, message: gateway.Demand | gateway.Stats | gateway.Fault) -> None:
        """Take what the gateway says of a deployment."""
        deployed = self._all.get(message.deployment)
        if deployed is None:
            return
        match message:
            case gateway.Demand():
                deployed.heard = time.monotonic()
                deployed.replicas.hear(message)
                deployed.scaler.hear(message, deployed.replicas.ready)
            case gateway.Stats():
                deployed.stats = message.replicas
            case gateway.Fault():
                deployed.replicas.suspect(message.replica, message.what)

    def deaf(self) -> None:
        """Take note that no gateway tells any demand at present."""
        for one in self._all.values():
            one.replicas.demand = None
            one.scaler.hear(None, one.replicas.ready)

    def _scaled(self, name: str, decision: Decision) -> None:
        replicas = self._all[name].replicas
        text = f"{decision.before} -> {decision.desired} replicas: {decision.reason}"
        lead = self._site.starts.lead(replicas.blueprint)
        if decision.desired > decision.before and lead is not None:
            text += f"; a start takes about {lead:.0f} s"
        self._site.emit(event("scaled", name, text))
        replicas.scale(decision.desired)

    def _changed(self, name: str, message: gateway.Replicas) -> None:
        self._tell(message)
        deployed = self._all.get(name)
        if deployed:
            # a later replica in the same slot has the same id; it has done nothing yet
            told = {one.id for one in message.replicas}
            deployed.stats = {id_: one for id_, one in deployed.stats.items() if id_ in told}
            deployed.scaler.hear(deployed.replicas.demand, deployed.replicas.ready)
