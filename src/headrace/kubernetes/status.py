"""A fleet in a cluster in the same words and the same table as on one machine.

Pure, from a picture (`gather.py`): states and phases of Pods, counts of workloads, demand of the
gateways; and beside the table, why something does not go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.fleet.types import Fleet
from headrace.gateway.control import Demand
from headrace.gateway.demand import added
from headrace.kubernetes import names, pods
from headrace.kubernetes.names import GATEWAY, SCALER
from headrace.kubernetes.phases import start_of
from headrace.kubernetes.picture import Picture
from headrace.kubernetes.resource import Object
from headrace.kubernetes.waiting import is_hopeless, waits_for
from headrace.routing.from_fleet import aliases
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus, ReplicaStatus


@dataclass(frozen=True)
class Subject:
    """Which fleet, where, and when it was looked at; a Unix time in seconds."""

    fleet: Fleet
    file: str
    namespace: str
    clock: float


def fleet_status(picture: Picture, subject: Subject) -> FleetStatus:
    """Return the fleet as `headrace status` shows it."""
    fleet = subject.fleet
    own = [name for name in (GATEWAY, SCALER) if picture.pods(name) or _workload(picture, name)]
    return FleetStatus(
        fleet=fleet.fleet,
        file=subject.file,
        pid=0,
        since=_since(picture, subject),
        uptime=subject.clock - _since(picture, subject),
        address=f"http://{names.gateway(fleet.fleet)}.{subject.namespace}/v1",
        stopping=False,
        gateway_pid=None,
        deployments=tuple(
            _deployment(picture, subject, name) for name in (*fleet.deployments, *own)
        ),
        keyed=fleet.gateway.keys is not None,
    )


def _since(picture: Picture, subject: Subject) -> float:
    return min((pods.created(one) for one in picture.workloads()), default=subject.clock)


def _workload(picture: Picture, name: str) -> Object | None:
    found = (one for one in picture.workloads() if pods.deployment_of(one) == name)
    return next(found, None)


def _deployment(picture: Picture, subject: Subject, name: str) -> DeploymentStatus:
    known = subject.fleet.deployments.get(name)
    work = _workload(picture, name)
    desired = count(work)
    demand = _demand(picture, name)
    members = [pod for pod in picture.pods(name) if pods.component_of(pod) != pods.WEIGHTS]
    room = known.max_num_seqs if known and isinstance(known.max_num_seqs, int) else 0
    return DeploymentStatus(
        name=name,
        models=(aliases(subject.fleet, name) or (name,)) if known else (),
        min=known.scaling.min if known else desired,
        max=known.scaling.max if known else desired,
        desired=desired,
        paused=False,
        why="it is not there; `headrace apply` makes it" if work is None else trouble(work),
        held=demand.held if demand else 0,
        queued=demand.queued if demand else 0,
        running=demand.running if demand else 0,
        crashes=sum(pods.restarts(pod) for pod in members),
        given_up=any(is_hopeless(pod, picture.evidence(pod)) for pod in members),
        retry_in=None,
        last_words=next((picture.words.get(pods.uid_of(pod), "") for pod in members), ""),
        replicas=tuple(_replica(picture, subject, pod, demand, room) for pod in members),
        routes=demand.routes if demand else {},
    )


def count(work: Object | None) -> int:
    """Return how many Pods, or groups of Pods, a workload should have."""
    return int((work["spec"] if work else {}).get("replicas") or 0)


def trouble(work: Object) -> str:
    """Return what keeps a workload from making or replacing its Pods, empty if nothing does."""
    failure = pods.condition(work, "ReplicaFailure")
    if failure.get("status") == "True":
        return f"Pods cannot be made: {failure.get('message', '')}"
    progress = pods.condition(work, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return "no progress for longer than progressDeadlineSeconds"
    return ""


def _demand(picture: Picture, name: str) -> Demand | None:
    if picture.demands is None:
        return None
    return added(name, (one for told in picture.demands for one in told if one.deployment == name))


def _replica(
    picture: Picture, subject: Subject, pod: Object, demand: Demand | None, room: int
) -> ReplicaStatus:
    name = pods.name_of(pod)
    start = start_of(pod, picture.marks.get(pods.uid_of(pod), []), subject.clock)
    serves = demand is not None and room > 0
    return ReplicaStatus(
        id=name,
        state=state_of(pod, picture),
        age=max(0.0, subject.clock - pods.created(pod)),
        phase=start.now,
        in_phase=start.in_now,
        phases=start.done,
        pid=None,
        port=None,
        in_flight=demand.replicas.get(name, 0) if demand and serves else None,
        room=room,
        restarts=pods.restarts(pod),
        log=f"kubectl logs -n {subject.namespace} {name} -c {pods.main_container(pod)}",
    )


def state_of(pod: Object, picture: Picture) -> State:
    """Return where a Pod stands, as a process of one machine would."""
    if pods.terminating(pod):
        return State.DRAINING
    if picture.wrong(pod):
        return State.WRONG
    if pods.holds(pod, "Ready"):
        return State.READY
    status = pods.container(pod, pods.main_container(pod))
    if pods.death(status) and "running" not in (status.get("state") or {}):
        return State.CRASHED
    return State.STARTING


def reasons(picture: Picture) -> Iterator[tuple[str, str]]:
    """Yield (Pod, why it does not go on) for each that waits for something."""
    for pod in picture.pods():
        if not pods.terminating(pod) and (why := waits_for(pod, picture.evidence(pod))):
            yield pods.name_of(pod), why
    for job in picture.of("Job"):
        failed = pods.condition(job, "Failed")
        if failed.get("status") == "True":
            yield str(job["metadata"]["name"]), f"failed: {failed.get('message', '')}"
