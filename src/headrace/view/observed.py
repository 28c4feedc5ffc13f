"""What a fleet's own word tells a diagnosis, where nothing else can be reached: of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.diagnosis.observation import Observation, Replica, Unseen, Waiting
from headrace.view.status import FleetStatus, ReplicaStatus

UNSEEN = (
    Unseen(
        what="requests one by one, as the gateway Pods keep them",
        remedy="run `headrace bench` against it and diagnose its folder",
    ),
    Unseen(
        what="engines' queues, batches and KV caches",
        remedy="look at their metrics in Prometheus, or let `headrace bench` read their pages",
    ),
    Unseen(
        what="nodes (who uses their CPU), and what happened to Pods", remedy="`kubectl describe`"
    ),
)


def observed(statuses: Sequence[tuple[float, FleetStatus]]) -> list[Observation]:
    """Return each deployment's observation by statuses at so many seconds, the last one counts."""
    if not statuses:
        return []
    until, last = statuses[-1]
    return [
        Observation(
            name=one.name,
            seconds=until,
            replicas=tuple(map(_replica, one.replicas)),
            waiting=tuple(waiting_by_status(one.name, statuses)),
            unseen=UNSEEN,
        )
        for one in last.deployments
    ]


def _replica(one: ReplicaStatus) -> Replica:
    room = one.room or None
    return Replica(name=one.id, state=one.state, age=one.age, room=room, in_flight=one.in_flight)


def waiting_by_status(
    name: str, statuses: Sequence[tuple[float, FleetStatus]]
) -> Iterator[Waiting]:
    """Yield what waited and ran in a deployment at each look."""
    for at, status in statuses:
        for one in status.deployments:
            if one.name == name:
                yield Waiting(at=at, held=one.held, queued=one.queued, running=one.running)
