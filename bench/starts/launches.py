"""The two ways to start the same engine: as its manual says, and as `headrace up` does.

Both have the same flags. The plain one has the engine's own choice of cores, too; `plain, bound`
has Headrace's, so that what the cores do and what sharing one import does can be told apart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from bench.processes import ROOT, free_port
from headrace.engines.base import Placement
from headrace.engines.vllm import PLAIN, Vllm
from headrace.fleet.load import load_fleet
from headrace.hardware.machine import read_machine
from headrace.local.prepare import prepare_engines, prepare_weights
from headrace.models.progress import silent

EXAMPLE = ROOT / "examples" / "laptop.yaml"
_DEPLOYMENT = "smollm2"
_BOUND = "VLLM_CPU_OMP_THREADS_BIND"
KINDS = ("plain", "plain, bound", "headrace")


@dataclass(frozen=True)
class Launch:
    """A command with its environment, and the port that it serves."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    port: int


class Launches:
    """Makes launches of the demo model; the first one pulls and installs what is missing."""

    def __init__(self) -> None:
        self._file = load_fleet(EXAMPLE)
        self._weights = prepare_weights(self._file, silent)
        self._pythons = prepare_engines(self._file, print)
        self._cores = read_machine().cores

    def make(self, kind: str) -> Launch:
        """Return a launch of a kind, on a port that is free now."""
        fleet = self._file.fleet
        deployment = fleet.deployments[_DEPLOYMENT]
        port = free_port()
        place = Placement(
            python=self._pythons[_DEPLOYMENT],
            model_path=self._weights[deployment.model],
            served_names=("m",),
            host="127.0.0.1",
            port=port,
            cores=self._cores,
        )
        if kind != "headrace":
            engine = deployment.engine.model_copy(update={"env": {PLAIN: "1"}})
            deployment = deployment.model_copy(update={"engine": engine})
        made = Vllm(deployment.engine.version).launch(
            deployment, fleet.hardware[deployment.hardware], place
        )
        env = {k: v for k, v in made.env.items() if k != _BOUND or kind != "plain"}
        return Launch(made.argv, os.environ | env, port)
