"""All that is needed to start a replica of one deployment; nothing in it changes meanwhile.

`prepare.py` makes blueprints from a fleet file; `replica.py` starts engines from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from headrace.engines.base import LocalEngine, LoraAdapter
from headrace.engines.vllm import Vllm
from headrace.fleet.types import Deployment, Fleet, Hardware, KnownPrompt
from headrace.routing.from_fleet import routes_of
from headrace.routing.match import Asked, RouteTable

_T = TypeVar("_T")


@dataclass(frozen=True)
class Blueprint:
    """One deployment, ready to be started; `known` None means the engines' default prompt.

    `aliases` are the model names of all routes that lead here, its adapters' included.
    """

    name: str
    deployment: Deployment
    hardware: Hardware
    engine: LocalEngine
    python: Path
    model_path: Path
    aliases: tuple[str, ...]
    adapters: tuple[LoraAdapter, ...] = ()
    known: KnownPrompt | None = None
    embeds: bool = False
    """The known prompt asks for an embedding instead of a completion."""
    devices: tuple[str, ...] = ()
    """GPUs of this machine, as CUDA_VISIBLE_DEVICES names them."""
    cores: tuple[int, ...] = ()
    """CPU numbers of this machine that replicas may use."""

    digest: str = ""
    """Of its model's weights, as the lock file has it."""

    @property
    def quick(self) -> bool:
        """Whether its engine's processes share one import."""
        engine = self.engine
        return isinstance(engine, Vllm) and engine.starts_quickly(self.deployment, self.hardware)

    @property
    def served_names(self) -> tuple[str, ...]:
        """What an engine that starts now calls the model: its aliases, then its own name.

        The gateway exchanges aliases that come later, so an engine never has to learn a new one.
        """
        own = self.deployment.adapters
        return tuple(dict.fromkeys((*(a for a in self.aliases if a not in own), self.name)))

    @property
    def known_names(self) -> tuple[str, ...]:
        """All that such an engine answers to: the model's names first, then its adapters'."""
        return (*self.served_names, *self.deployment.adapters)

    @property
    def adapter_room(self) -> int | None:
        """Of how many adapters such an engine runs requests at once; None: of all."""
        return self.engine.adapter_room(self.deployment)


def plain_model(fleet: Fleet) -> str:
    """Return the first model that a short chat request without more may name, else nothing."""
    table = RouteTable(routes_of(fleet))
    return next((name for name in table.aliases if table.find(Asked(name))), "")


def cores_of(blueprint: Blueprint, slot: int) -> tuple[int, ...]:
    """Return the cores of the replica in `slot` (from 1): all, or its own share, in turns."""
    count = blueprint.hardware.cores
    return _share(blueprint.cores, slot, count) if count else blueprint.cores


def devices_of(blueprint: Blueprint, slot: int) -> tuple[str, ...]:
    """Return the GPUs of the replica in `slot` (from 1): its own share, in turns."""
    return _share(blueprint.devices, slot, blueprint.deployment.accelerators)


def _share(whole: tuple[_T, ...], slot: int, count: int) -> tuple[_T, ...]:
    if count >= len(whole):
        return whole
    first = (slot - 1) * count
    return tuple(whole[(first + index) % len(whole)] for index in range(count))
