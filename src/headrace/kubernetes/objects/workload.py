"""One deployment as a cluster runs it: its containers, where its weights are, and the reasons.

The engine says how a container runs (`engines`), the plan why its flags are what they are
(`planning`), the lock which weights these are (`models`). Everything else here only writes it down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from headrace.engines.container import Container, ContainerEngine
from headrace.fleet.types import Deployment, Hardware
from headrace.kubernetes import names
from headrace.kubernetes.objects.scene import Scene

WEIGHTS_MOUNT = "/models"
"""Where the volume with the weights is in an engine's container; the store is below it."""
STORE = "weights"
"""The store's folder in Headrace's cache (`models.cache`)."""
CACHE = "/cache"


@dataclass(frozen=True)
class Weights:
    """The weights of a deployment: its model's folder below the store, and all their bytes.

    `locked`: the lock file names every file and checksum. `missing` are the keys that it lacks.
    """

    folder: str
    size: int
    missing: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """All that must be there before the engine starts, adapters' included."""

    @property
    def locked(self) -> bool:
        """Whether the lock file names all of them."""
        return not self.missing

    @property
    def path(self) -> str:
        """The model's folder in an engine's container."""
        return str(PurePosixPath(WEIGHTS_MOUNT, STORE, self.folder))


@dataclass(frozen=True)
class Workload:
    """A deployment; `worker` is there if one replica spans several Pods (`pods`)."""

    scene: Scene
    deployment_name: str
    deployment: Deployment
    hardware: Hardware
    engine: ContainerEngine
    leader: Container
    worker: Container | None
    pods: int
    weights: Weights | None
    """None: engine twins need none."""
    per_node: int = 8
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Of the plan, by field of the deployment."""

    @property
    def name(self) -> str:
        """Of its objects."""
        return names.engine(self.scene.name, self.deployment_name)

    @property
    def group_name(self) -> str:
        """Of its LeaderWorkerSet, which makes a Service of that name for its own Pods."""
        return f"{self.name}-group"

    @property
    def gpus(self) -> int:
        """GPUs of one Pod."""
        if self.hardware.kind != "gpu":
            return 0
        return math.ceil(self.deployment.accelerators / self.pods)

    @property
    def ranks(self) -> int:
        """Processes of one Pod that share memory: one for each accelerator, or for a CPU's rank."""
        return self.gpus or self.deployment.accelerators

    @cached_property
    def labels(self) -> dict[str, str]:
        """Of its Pods."""
        fleet, name = self.scene.name, self.deployment_name
        return names.labels(fleet, name, "engine", name)

    @property
    def selector(self) -> dict[str, str]:
        """Labels that pick its Pods."""
        return names.selector(self.scene.name, "engine", self.deployment_name)

    @property
    def target(self) -> dict[str, str]:
        """What KEDA scales."""
        if self.pods > 1:
            api = "leaderworkerset.x-k8s.io/v1"
            return {"apiVersion": api, "kind": "LeaderWorkerSet", "name": self.group_name}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name}

    @property
    def scaled(self) -> bool:
        """Whether KEDA owns its count: it has triggers, and KEDA is there."""
        return self.scene.scaled and bool(self.deployment.scaling.triggers)

    def why(self, reason: str) -> str:
        """Add the plan's reason to an engine's, where the engine names the field."""
        found = self.reasons.get(reason)
        return f"{reason}: {found}" if found else reason
