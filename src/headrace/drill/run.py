"""One drill from its beginning to its end: look, pin, load, harm, undo, ask again, report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import httpx

from headrace.drill import harm
from headrace.drill.again import Checked, ask_again
from headrace.drill.asks import Ask, make_ask
from headrace.drill.client import Target
from headrace.drill.judge import judge
from headrace.drill.kinds import Kind
from headrace.drill.load import Load, Plan
from headrace.drill.oracle import expected
from headrace.drill.report import Report, Tally
from headrace.drill.scene import LEAST, Scene
from headrace.drill.seen import Seen
from headrace.drill.timeline import Timeline, track
from headrace.drill.watch import Watch
from headrace.fleet.load import load_fleet
from headrace.local import client
from headrace.local.errors import LocalError
from headrace.local.launching import HOST
from headrace.local.state import StateDir
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus

SAMPLE = 20
"""Undisturbed answers that a real engine is asked about again, beside all disturbed ones."""
_LOOK = 0.5
"""Seconds between two looks at a fleet that is not ready yet."""


@dataclass(frozen=True)
class Order:
    """What is wanted; `duration`, `every` (between kills of `mixed`) and `patience` in seconds."""

    kind: Kind
    streams: int = 40
    concurrency: int = 20
    tokens: int = 128
    duration: float = 0.0
    every: float = 5.0
    patience: float = 120.0
    model: str | None = None
    seed: int = 1
    key: str | None = field(default=None, repr=False)


async def drill(state: StateDir, order: Order, tell: Callable[[str], None]) -> Report:
    """Drill the fleet that is up; `tell` hears what goes on. LocalError if it cannot be done.

    Whatever happens, replicas that were stopped go on afterwards and the count is as it was.
    """
    status, deployment = await _fleet(state, order, tell)
    return await _Drill(state, order, status, deployment, tell).run()


def _deployment(status: FleetStatus, model: str | None) -> DeploymentStatus:
    if model is None:
        return status.deployments[0]
    for deployment in status.deployments:
        if model in deployment.models:
            return deployment
    known = ", ".join(alias for one in status.deployments for alias in one.models)
    raise LocalError(f"no deployment serves '{model}'; known: {known}")


async def _fleet(
    state: StateDir, order: Order, tell: Callable[[str], None]
) -> tuple[FleetStatus, DeploymentStatus]:
    """Return the fleet and the deployment once enough replicas are ready, as they soon will be."""
    told = False
    deadline = monotonic() + order.patience
    while True:
        status = await client.status(state)
        deployment = _deployment(status, order.model)
        if order.kind == "gateway" or deployment.ready >= max(LEAST, deployment.desired):
            return status, deployment
        _check(deployment, late=monotonic() > deadline)
        if not told:
            tell(f"waiting until {deployment.desired} replicas of {deployment.name} are ready")
            told = True
        await asyncio.sleep(_LOOK)


def _check(deployment: DeploymentStatus, *, late: bool) -> None:
    if deployment.desired >= LEAST and not deployment.given_up and not late:
        return
    raise LocalError(
        f"{deployment.name} has {deployment.ready} ready replicas and a drill needs {LEAST}, "
        f"one to harm and one to go on: run `headrace scale {deployment.name} {LEAST}`, and "
        "this again when `headrace status` shows them ready"
    )


class _Drill:
    """What the parts of one drill share."""

    def __init__(
        self,
        state: StateDir,
        order: Order,
        status: FleetStatus,
        deployment: DeploymentStatus,
        tell: Callable[[str], None],
    ) -> None:
        self._state, self._order, self._status = state, order, status
        self._deployment = deployment
        self._model = order.model or deployment.models[0]
        fleet = load_fleet(Path(status.file)).fleet
        hardware = fleet.deployments[deployment.name].hardware
        self._twin = fleet.hardware[hardware].kind == "emulated"
        self._timeline = Timeline(tell)
        self._watch = Watch(state, deployment.name, self._timeline)
        self._tally = Tally()
        self._kept: list[Seen] = []
        self._failed: Exception | None = None
        self._unchecked = ""
        plan = Plan(order.streams, order.concurrency, order.patience)
        self._load = Load(self._target(), plan, self._ask, self._heard)

    async def run(self) -> Report:
        async with AsyncExitStack() as afterwards:
            watching = asyncio.create_task(self._watch.run())
            afterwards.callback(watching.cancel)
            replicas = await self._pin(afterwards)
            scene = Scene(
                self._state, self._deployment.name, replicas, self._twin, self._order.every,
                self._load, self._timeline, afterwards,
            )  # fmt: skip
            await self._clients_and_harm(scene)
        seconds = monotonic() - self._timeline.begin
        return self._report(seconds, await self._ask_again())

    def _target(self) -> Target:
        where = urlsplit(self._status.address)
        if where.hostname is None or where.port is None:
            raise LocalError(f"the fleet's address is not understood: {self._status.address}")
        return Target(where.hostname, where.port, where.path, self._model, self._order.key)

    def _ask(self, number: int) -> Ask:
        return make_ask(number, seed=self._order.seed, tokens=self._order.tokens)

    def _heard(self, seen: Seen) -> None:
        self._tally.add(seen, judge(seen, expected(seen.ask) if self._twin else None))
        if not self._twin:
            self._kept.append(seen)

    async def _pin(self, afterwards: AsyncExitStack) -> int:
        """Fix the count of replicas for the time of the drill; return it."""
        name, count = self._deployment.name, max(self._deployment.ready, 1)
        before = self._deployment.desired if self._deployment.paused else None
        await client.scale(self._state, name, count)
        afterwards.push_async_callback(client.scale, self._state, name, before)
        return count

    async def _clients_and_harm(self, scene: Scene) -> None:
        """Run the clients until they had enough and the harm is done; LocalError if it fails."""
        enough = monotonic() + self._order.duration
        try:
            async with asyncio.TaskGroup() as tasks:
                doing = tasks.create_task(harm.KINDS[self._order.kind](scene))
                tasks.create_task(self._load.run(lambda: not doing.done() or monotonic() < enough))
        except* LocalError as failed:
            self._failed = failed.exceptions[0]
        if self._failed is not None:
            raise self._failed

    async def _ask_again(self) -> Checked | None:
        """Have a real engine judge what it, or the other one, wrote; None where that failed."""
        whole = [seen for seen in self._kept if seen.text]
        if not whole:
            return None
        disturbed = [seen for seen in whole if self._is_disturbed(seen)]
        others = [seen for seen in whole if not self._is_disturbed(seen)]
        try:
            url = await self._replica()
            return await ask_again(url, self._model, [*disturbed, *others[:SAMPLE]])
        except (LocalError, httpx.HTTPError) as error:
            self._unchecked = f"no replica could be asked again: {error or repr(error)}"
            return None

    def _is_disturbed(self, seen: Seen) -> bool:
        one = track(seen)
        return bool(seen.continuations) or (one is not None and self._timeline.disturbed(one))

    async def _replica(self) -> str:
        status = await client.status(self._state)
        for deployment in status.deployments:
            for replica in deployment.replicas:
                if deployment.name == self._deployment.name and replica.state == State.READY:
                    return f"http://{HOST}:{replica.port}"
        raise LocalError("no replica is ready, so none can be asked again")

    def _report(self, seconds: float, checked: Checked | None) -> Report:
        order = self._order
        figures = {**self._tally.counts(), **self._tally.times(self._timeline)}
        return Report(
            kind=order.kind,
            fleet=self._status.fleet,
            model=self._model,
            engine="twin" if self._twin else "real",
            seed=order.seed,
            concurrency=order.concurrency,
            tokens=order.tokens,
            seconds=round(seconds, 1),
            refused_with=dict(self._tally.refused),
            checked=checked,
            unchecked=self._unchecked,
            timeline=tuple(self._timeline.deeds),
            memory=tuple(self._watch.memory.values()),
            examples=self._tally.examples(),
            **figures,  # type: ignore[arg-type]  # the tally names the report's own fields
        )
