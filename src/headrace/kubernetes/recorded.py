"""A Pod's start as the cold-start ledger keeps it, from its status and its engine's log. Pure.

The scaler sees every start, whoever asked for it, but may not read logs: its records have one phase
`start` for all of an engine's own. Who may read logs (`headrace apply`, `headrace starts
--cluster`) makes records with all phases of the Pods that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headrace.fleet.types import Fleet
from headrace.kubernetes import pods
from headrace.kubernetes.phases import READY, Mark, start_of
from headrace.kubernetes.picture import Picture
from headrace.kubernetes.resource import Object
from headrace.starts.start import PHASES, Outcome, Start, in_order, utc
from headrace.starts.subjects import subject_in
from headrace.view.status import Phase

_ENGINE = PHASES.index("start")
"""Phases from here on are the engine's own."""
SAID = "scaler: start "
"""What a line of a scaler's log begins with that is a record."""


def identity(pod: Object) -> str:
    """Return what tells this start from all others; a container that is restarted starts again."""
    return f"{pods.name_of(pod)}@{pods.uid_of(pod)}.{pods.restarts(pod)}"


def is_engine(pod: Object, fleet: Fleet) -> bool:
    """Whether it is a replica of one of the fleet's deployments, or the first Pod of one."""
    return pods.component_of(pod) == pods.ENGINE and pods.deployment_of(pod) in fleet.deployments


def ready_start(pod: Object, logged: Sequence[Mark], fleet: Fleet) -> Start | None:
    """Return the start of a Pod that is ready; None for another."""
    if not is_engine(pod, fleet) or not pods.holds(pod, "Ready"):
        return None
    return _record(pod, start_of(pod, logged, 0.0).done, fleet)


def other_start(
    pod: Object, fleet: Fleet, clock: float, outcome: Outcome, why: str = ""
) -> Start | None:
    """Return the start of a Pod that ended before it was ready; `clock` is a Unix time."""
    if not is_engine(pod, fleet):
        return None
    start = start_of(pod, (), clock)
    told = [*start.done, *([Phase(start.now, round(start.in_now, 3))] if start.now else [])]
    made = _record(pod, told, fleet)
    return msgspec.structs.replace(made, outcome=outcome, ended_in=start.now or READY, why=why)


def _record(pod: Object, phases: Iterable[Phase], fleet: Fleet) -> Start:
    name = pods.deployment_of(pod)
    deployment, again = fleet.deployments[name], pods.restarts(pod) > 0
    subject = subject_in("kubernetes", name, deployment, fleet.hardware[deployment.hardware])
    took = _added(phases, engine_only=again)
    return Start(
        id=identity(pod),
        began=utc(_began(pod, again=again)),
        outcome="ready",
        phases=in_order(took),
        fetched=None,
        restart=again,
        **subject._asdict(),
    )


def _began(pod: Object, *, again: bool) -> float:
    engine = pods.started(pods.container(pod, pods.main_container(pod)))
    return engine if again and engine is not None else pods.created(pod)


def _added(phases: Iterable[Phase], *, engine_only: bool) -> dict[str, float]:
    """Return seconds by phase; a container that is started again has only the engine's."""
    took: dict[str, float] = {}
    for phase in phases:
        known = phase.name in PHASES
        if not (engine_only and known and PHASES.index(phase.name) < _ENGINE):
            took[phase.name] = round(took.get(phase.name, 0.0) + phase.seconds, 3)
    return took


def starts_in(picture: Picture, fleet: Fleet) -> list[Start]:
    """Return the starts of the Pods that are ready now, with what their logs told."""
    found = (
        ready_start(pod, picture.marks.get(pods.uid_of(pod), []), fleet)
        for pod in picture.of("Pod")
    )
    return [one for one in found if one is not None]


def said_in(lines: Iterable[str]) -> list[Start]:
    """Return the records among the lines of a scaler's log; other lines are nobody's business."""
    found = []
    for line in lines:
        if SAID in line:
            try:
                found.append(msgspec.json.decode(line.partition(SAID)[2], type=Start))
            except msgspec.MsgspecError:
                continue
    return found


class Book:
    """The starts of a fleet's Pods, each once; `see` gets all Pods that are there, by uid."""

    def __init__(self, most: int = 500) -> None:
        self.starts: list[Start] = []
        self._most = most
        self._known: set[str] = set()
        self._pending: dict[str, Object] = {}

    def see(self, there: Mapping[str, Object], fleet: Fleet, clock: float) -> list[Start]:
        """Return the starts that are over since the last look; `clock` is a Unix time."""
        over: list[Start | None] = []
        now = {identity(pod): pod for pod in there.values() if is_engine(pod, fleet)}
        for key, pod in now.items():
            if key not in self._known and pods.holds(pod, "Ready"):
                over.append(ready_start(pod, (), fleet))
        for key, pod in self._pending.items():
            if key not in now:
                over.append(self._ended(pod, there.get(pods.uid_of(pod)), fleet, clock))
        new = [one for one in over if one is not None]
        self._known = {key for key, pod in now.items() if key in self._known} | {
            one.id for one in new
        }
        self._pending = {key: pod for key, pod in now.items() if key not in self._known}
        self.starts = [*self.starts, *new][-self._most :]
        return new

    def _ended(self, pod: Object, again: Object | None, fleet: Fleet, clock: float) -> Start | None:
        """Return the start of a Pod that never got ready: it is gone, or has begun again."""
        if again is None:
            return other_start(pod, fleet, clock, "stopped")
        died = pods.death(pods.container(again, pods.main_container(again)))
        why = f"{died.get('reason', 'ended')} ({died.get('exitCode')})" if died else ""
        return other_start(pod, fleet, clock, "failed", why)
