"""From a blueprint to the program that a keeper starts for one slot.

The engine says what to run; the runtime adds where: port, cores, GPUs, log, and the mark by which
strays are found.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headrace.engines.base import Placement
from headrace.local import strays, temporary
from headrace.local.blueprint import Blueprint, cores_of, devices_of
from headrace.local.kept import Program

HOST = "127.0.0.1"
"""Replicas listen on this machine only; clients come through the gateway."""


@dataclass(frozen=True)
class Place:
    """One replica's slot (from 1), id, port and log, and a folder for temporary files."""

    slot: int
    id: str
    port: int
    log: Path
    temporary: Path | None = None


def program(blueprint: Blueprint, place: Place, folder: Path) -> Program:
    """Return the program of one replica of the fleet whose state folder is `folder`."""
    placement = Placement(
        python=blueprint.python,
        model_path=blueprint.model_path,
        served_names=blueprint.served_names,
        host=HOST,
        port=place.port,
        cores=cores_of(blueprint, place.slot),
        adapters=blueprint.adapters,
    )
    launch = blueprint.engine.launch(blueprint.deployment, blueprint.hardware, placement)
    devices = devices_of(blueprint, place.slot)
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices else {}
    outer = temporary.environment(os.environ, place.temporary)
    env = {**outer, **gpus, **launch.env, **strays.mark(str(folder), place.id)}
    return Program(launch.argv, env, place.log, blueprint.deployment.lifecycle.grace)
