"""All that is needed to start a replica of one deployment; nothing in it changes meanwhile.

`prepare.py` makes blueprints from a fleet file; `replica.py` starts engines from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from headrace.engines.base import Engine
from headrace.fleet.types import Deployment, Hardware, KnownPrompt

_T = TypeVar("_T")


@dataclass(frozen=True)
class Blueprint:
    """One deployment, ready to be started; `known` None means the engines' default prompt."""

    name: str
    deployment: Deployment
    hardware: Hardware
    engine: Engine
    python: Path
    model_path: Path
    served_names: tuple[str, ...]
    known: KnownPrompt | None = None
    embeds: bool = False
    """The known prompt asks for an embedding instead of a completion."""
    devices: tuple[str, ...] = ()
    """GPUs of this machine, as CUDA_VISIBLE_DEVICES names them."""
    cores: tuple[int, ...] = ()
    """CPU numbers of this machine that replicas may use."""


def cores_of(blueprint: Blueprint, slot: int) -> tuple[int, ...]:
    """Return the cores of the replica in `slot` (from 1): all, or its own share, in turns."""
    count = blueprint.hardware.cores
    return _share(blueprint.cores, slot, count) if count else blueprint.cores


def devices_of(blueprint: Blueprint, slot: int) -> tuple[str, ...]:
    """Return the GPUs of the replica in `slot` (from 1): as many as its tensor parallelism."""
    return _share(blueprint.devices, slot, blueprint.deployment.tensor_parallel)


def _share(whole: tuple[_T, ...], slot: int, count: int) -> tuple[_T, ...]:
    if count >= len(whole):
        return whole
    first = (slot - 1) * count
    return tuple(whole[(first + index) % len(whole)] for index in range(count))
