"""One replica of an engine as a container: what Kubernetes has to be told about it.

An engine file answers, `headrace.kubernetes` writes objects from the answer, and
`headrace.preflight` compares other people's manifests with it. Everything here is by version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headrace.engines.base import Engine, LoraAdapter
from headrace.fleet.types import Deployment, Hardware
from headrace.fleet.types import EngineName as EngineName  # noqa: PLC0414 - named here, too


@dataclass(frozen=True)
class Spot:
    """What the cluster decides about one replica before its container is written.

    `model_path` is where the preloaded weights are mounted, read-only. `nodes` are the Pods of one
    replica, more than 1 for a pipeline over nodes; then `leader` is the expression of the leader's
    address and `rank` that of this Pod's rank (`$(LWS_WORKER_INDEX)`).
    """

    model_path: str
    served_names: tuple[str, ...]
    cache_path: str = "/cache"
    """Writable; survives restarts of the container where the cluster allows it."""
    adapters: tuple[LoraAdapter, ...] = ()
    nodes: int = 1
    leader: str = ""
    rank: str = ""
    worker: bool = False
    """Not the leader: it has no HTTP."""


@dataclass(frozen=True)
class Probe:
    """An HTTP GET, and what its answer means; times in seconds."""

    path: str
    port: str
    """A name of `Container.ports`."""
    timeout: int
    period: int
    failures: int
    means: str
    """What 200 says, and what it does not, in a sentence."""


@dataclass(frozen=True)
class Drain:
    """What SIGTERM does.

    `inside`: the engine itself ends what is in flight, for at most `seconds`; else Headrace waits
    outside it. `tells`: readiness goes away while it drains. `note` is a sentence with its source.
    """

    inside: bool
    seconds: float | None
    tells: bool
    note: str


@dataclass(frozen=True)
class Container:
    """How one version of an engine runs in a container, with the reason for each flag."""

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    ports: Mapping[str, int]
    """By name: `http` takes requests, `metrics` may be the same number."""
    metrics_path: str
    startup: Probe
    readiness: Probe
    liveness: Probe
    drain: Drain
    files: Mapping[str, str] = field(default_factory=dict)
    """Files to mount, absolute path to text: parameters, a model repository.

    Each by itself, so that its folder has nothing else in it: to Triton each folder is a model.
    """
    writable: tuple[str, ...] = ("/tmp",)  # noqa: S108 - a path in the container
    """What must be writable with a read-only root; empty: the root must be writable."""
    user: int | None = 1000
    """The user it can run as; None: only as the image's own."""
    reasons: Mapping[str, str] = field(default_factory=dict)


class ContainerEngine(Engine, Protocol):
    """One engine in one version, as a cluster runs it."""

    @property
    def note(self) -> str:
        """What to know before choosing it, in a sentence; empty: nothing."""
        ...

    def container(self, deployment: Deployment, hardware: Hardware, spot: Spot) -> Container:
        """Return one replica; ValueError if the deployment still has a field that says `auto`."""
        ...

    def answers_to(self, served_names: Sequence[str]) -> tuple[str, ...]:
        """Return those of the names that requests may use, the best first; at least one."""
        ...

    def flag_absence(self, flag: str) -> str | None:
        """Return why this version does not take a flag (without dashes), None if it may."""
        ...
