"""One deployment as others see it: the gateway, and people.

Both views are made from the same replicas, so a replica that `headrace status` calls ready is one
that gets work. `replicaset.py` asks for them after each change.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from headrace.gateway import control
from headrace.local.blueprint import Blueprint
from headrace.local.launching import HOST
from headrace.local.replica import Replica
from headrace.local.restarts import Restarts
from headrace.starts.figures import StartFigures
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, ReplicaStatus

_COMING = {State.STARTING, State.PROBING}


@dataclass(frozen=True)
class Known:
    """What a deployment learned: `startup` is what a start takes in seconds, `starts` are by slot.

    `figures` are those of all starts of it that are known.
    """

    restarts: Restarts
    crashes: int
    last_words: str
    startup: float | None
    starts: Mapping[int, int]
    figures: StartFigures | None = None


@dataclass(frozen=True)
class Rule:
    """How many replicas there should be, and why."""

    desired: int
    why: str
    paused: bool


def for_gateway(
    blueprint: Blueprint, known: Known, replicas: Collection[Replica]
) -> control.Replicas:
    """Return where to send work, and what to tell clients who wait for a place to send it."""
    ready = any(replica.state == State.READY for replica in replicas)
    coming = [replica for replica in replicas if replica.state in _COMING]
    return control.Replicas(
        deployment=blueprint.name,
        replicas=tuple(
            control.Replica(
                id=replica.id,
                host=HOST,
                port=replica.port,
                room=replica.blueprint.deployment.max_num_seqs,
                state=state,
                names=replica.blueprint.known_names,
                cache=replica.kv_tokens,
                adapter_room=replica.blueprint.adapter_room,
            )
            for replica in replicas
            if (state := _told(replica, others=ready))
        ),
        hint="" if ready else _hint(blueprint.name, known, starting=bool(coming)),
        expected_ready=None if ready else _expected_ready(known.startup, coming),
        coming=bool(coming),
        down=known.restarts.given_up and not ready,
        starts=known.figures,
    )


def _told(replica: Replica, *, others: bool) -> control.ReplicaState | None:
    """Return what the gateway is told of a replica; None for one that has had no work.

    `others` says whether a replica is ready to take over. One that was told to end while none is
    may go on with what it has: the engine's own drain finishes it, or it is lost either way.
    """
    match replica.state:
        case State.READY:
            return "ready"
        case State.DRAINING:
            return "draining"
        case State.LEAVING:
            return "leaving" if others else "draining"
        case State.STOPPING if replica.was_ready:
            return "leaving" if others else "draining"
        case State.PROBING | State.WRONG | State.CRASHED if replica.was_ready:
            return "failed"
        case _:
            return None


def _hint(name: str, known: Known, *, starting: bool) -> str:
    if known.restarts.given_up:
        return f"{name} cannot start: {known.last_words}"
    return f"{name} is starting" if starting else ""


def _expected_ready(startup: float | None, coming: Iterable[Replica]) -> float | None:
    """Return seconds until the oldest start should be over, if it takes as long as others did."""
    ages = [time.monotonic() - replica.since for replica in coming]
    if startup is None or not ages:
        return None
    return round(max(1.0, startup - max(ages)), 1)


def for_status(
    blueprint: Blueprint,
    rule: Rule,
    known: Known,
    demand: control.Demand | None,
    replicas: Collection[Replica],
) -> DeploymentStatus:
    """Return the deployment as `headrace status` shows it."""
    scaling, restarts = blueprint.deployment.scaling, known.restarts
    waits = len(replicas) < rule.desired and not restarts.given_up
    return DeploymentStatus(
        name=blueprint.name,
        models=blueprint.aliases or (blueprint.name,),
        min=scaling.min,
        max=scaling.max,
        desired=rule.desired,
        paused=rule.paused,
        why=rule.why,
        held=demand.held if demand else 0,
        queued=demand.queued if demand else 0,
        running=demand.running if demand else 0,
        routes=demand.routes if demand else {},
        crashes=known.crashes,
        given_up=restarts.given_up,
        retry_in=max(0.0, restarts.not_before - time.monotonic()) if waits else None,
        last_words=known.last_words,
        replicas=tuple(_replica(one, known.starts[one.slot] - 1) for one in replicas),
    )


def _replica(replica: Replica, restarts: int) -> ReplicaStatus:
    return ReplicaStatus(
        id=replica.id,
        state=replica.state,
        age=time.monotonic() - replica.since,
        phase=replica.phases.name,
        in_phase=replica.phases.seconds,
        phases=replica.phases.done,
        pid=replica.engine.pid if replica.engine else None,
        port=replica.port,
        in_flight=replica.flight.count,
        room=replica.blueprint.deployment.max_num_seqs,
        restarts=restarts,
        log=str(replica.log),
    )
