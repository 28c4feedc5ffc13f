"""What a drill sees of the fleet beside its clients: replicas that come and go, and memory."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.drill.timeline import Timeline
from headrace.drill.watch import Memory, Watch
from headrace.local.state import StateDir
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus, ReplicaStatus


def status(**states: State) -> FleetStatus:
    replicas = tuple(
        ReplicaStatus(
            id=name, state=state, age=9.0, phase="", in_phase=0.0, phases=(), pid=1, port=1, in_flight=0,
            room=4, restarts=0, log="",
        )
        for name, state in states.items()
    )  # fmt: skip
    deployment = DeploymentStatus(
        name="twin", models=("twin",), min=2, max=4, desired=2, paused=False, why="", held=0, queued=0,
        running=0, crashes=0, given_up=False, retry_in=None, last_words="", replicas=replicas,
    )  # fmt: skip
    return FleetStatus(
        fleet="f", file="f.yaml", pid=os.getpid(), since=0.0, uptime=1.0, address="", stopping=False,
        gateway_pid=None, deployments=(deployment,),
    )  # fmt: skip


def test_changes_are_told_and_a_draining_replica_disturbs_its_streams() -> None:
    told: list[str] = []
    timeline = Timeline(told.append)
    watch = Watch(StateDir(Path()), "twin", timeline)
    watch.look(status(a=State.READY, b=State.READY))
    assert told == []
    watch.look(status(a=State.DRAINING, b=State.READY, c=State.STARTING))
    watch.look(status(b=State.READY, c=State.READY))
    seen = [(deed.who, deed.what, deed.done) for deed in timeline.deeds]
    assert seen == [
        ("a", "draining", False),
        ("c", "starting", False),
        ("a", "gone", False),
        ("c", "ready", False),
    ]
    assert [who for _, who in timeline.hits] == ["a"]
    (memory,) = watch.memory.values()
    assert memory.who == "supervisor"
    assert len(memory.samples) == 3
    assert min(memory.samples) > 1  # a Python of less than 1 MiB there is not


def test_memory_at_its_quarters() -> None:
    grows = Memory(who="gateway", pid=1, samples=[float(size) for size in range(101)])
    assert grows.quarters() == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert grows.seconds == 50.0
    assert Memory(who="gateway", pid=1, samples=[7.0]).quarters() == [7.0] * 5
