"""What a running fleet tells about itself: the data behind `headrace status` and the live display.

`headrace.local` fills it in from its processes, `headrace.kubernetes` from a cluster's Pods. Times
are in seconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.view.states import State


class Phase(msgspec.Struct, frozen=True):
    """A start-up phase and how long it took."""

    name: str
    seconds: float


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One replica; `phase` and `in_phase` say what a starting one does now and for how long.

    `in_flight` is None where nobody could say; a `room` of 0 has no bound that is known.
    """

    id: str
    state: State
    age: float
    phase: str
    in_phase: float
    phases: tuple[Phase, ...]
    pid: int | None
    port: int | None
    in_flight: int | None
    room: int
    restarts: int
    log: str


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment; `why` is the reason of the last scaling decision.

    `models` are what clients may ask for, `routes` has (waiting, running) of each route. `given_up`
    means a crash loop, and `last_words` what the engine said when it last died.
    """

    name: str
    models: tuple[str, ...]
    min: int
    max: int
    desired: int
    paused: bool
    why: str
    held: int
    queued: int
    running: int
    crashes: int
    given_up: bool
    retry_in: float | None
    last_words: str
    replicas: tuple[ReplicaStatus, ...]
    routes: dict[str, tuple[int, int]] = {}

    @property
    def ready(self) -> int:
        """How many replicas are ready."""
        return sum(replica.state == State.READY for replica in self.replicas)

    @property
    def settled(self) -> bool:
        """Whether it serves: the replicas it must at least have are ready, or it rests at zero."""
        return self.ready >= max(self.min, min(self.desired, 1))


RolloutState = Literal["running", "paused", "returning", "done", "returned", "undone"]


class RolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The last rollout: from which file to which, how far it is, and its latest step in words."""

    old: str
    new: str
    state: RolloutState
    text: str


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole fleet; `pid` is its supervisor's, 0 in a cluster.

    `gateway_pid` is None while the gateway is being restarted, and in a cluster.

    `admin` is where /metrics is; `finishing` counts replaced gateways that still finish streams;
    `note` is something that happened before this start. `plain` is a model that a request without
    more may name, if there is one; with `keyed` it needs a key. `digest` is the fleet file's as it
    was read, "" in a cluster.
    """

    fleet: str
    file: str
    pid: int
    since: float
    uptime: float
    address: str
    stopping: bool
    gateway_pid: int | None
    deployments: tuple[DeploymentStatus, ...]
    admin: str = ""
    finishing: int = 0
    rollout: RolloutStatus | None = None
    note: str = ""
    plain: str = ""
    keyed: bool = False
    digest: str = ""

    @property
    def settled(self) -> bool:
        """Whether every deployment that can serve does, and one can."""
        able = [one for one in self.deployments if not one.given_up]
        return bool(able) and all(one.settled for one in able) and self.gateway_pid is not None
