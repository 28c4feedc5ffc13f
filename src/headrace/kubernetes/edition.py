"""A fleet file as a gateway in the cluster serves it.

Nothing is started from it here: engines are Pods, which somebody else made from the same file. So
an edited file changes routes, queues and keys at once, and engines when their Pods are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.engines.container import ContainerEngine
from headrace.engines.named import engine_named
from headrace.engines.vllm import embeds
from headrace.fleet.load import FleetFile, load_fleet
from headrace.fleet.types import Deployment, KnownPrompt
from headrace.planning.settled import settled
from headrace.routing.from_fleet import served_names


@dataclass(frozen=True)
class Served:
    """One deployment, and what must be known to ask its Pods.

    `served_names` are what its engine may be asked for; `known` None: the default known prompt.
    """

    name: str
    deployment: Deployment
    engine: ContainerEngine
    served_names: tuple[str, ...]
    known: KnownPrompt | None
    embeds: bool


@dataclass(frozen=True)
class Edition:
    """A fleet file and its deployments by name."""

    file: FleetFile
    served: dict[str, Served]


def read(path: Path) -> Edition:
    """Read a fleet file; FleetError if it cannot be used."""
    file = settled(load_fleet(path)).file
    return Edition(file, {name: _served(file, name) for name in file.fleet.deployments})


def _served(file: FleetFile, name: str) -> Served:
    deployment = file.fleet.deployments[name]
    engine = engine_named(deployment.engine.name, deployment.engine.version)
    twin = file.fleet.hardware[deployment.hardware].kind == "emulated"
    return Served(
        name=name,
        deployment=deployment,
        engine=engine,
        served_names=engine.answers_to(served_names(file.fleet, name)),
        known=None if twin else file.fleet.models[deployment.model].known_prompt,
        embeds=embeds(deployment),
    )
