"""What a rollout asks of the machine: a changed file made ready to be served, and room for it.

The same steps as `up.py`, without a terminal: `headrace rollout` has fetched weights and installed
engines before, so here they are only found and checked. `rollouts.py` calls this in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from headrace.fleet.load import FleetFile, load_fleet, raise_problems
from headrace.fleet.problems import Problem
from headrace.hardware.machine import Machine, read_machine
from headrace.local import prepare
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition
from headrace.local.rollout_room import surge_findings
from headrace.models.progress import silent
from headrace.planning.settled import settled


class Loader:
    """Loads fleet files for a fleet that is up; `machine` is read anew each time."""

    def __init__(
        self, gpus: tuple[str, ...], machine: Callable[[], Machine] = read_machine
    ) -> None:
        self._gpus, self._machine = gpus, machine

    def load(self, path: Path) -> Edition:
        """Return the file ready to be served; FleetError, WeightsError, LocalError."""
        file = load_fleet(path)
        raise_problems(file.problem(*found) for found in prepare.engine_findings(file))
        weights = prepare.prepare_weights(file, silent)
        file = settled(file).file
        pythons = prepare.prepare_engines(file, lambda _text: None)
        made = prepare.blueprints(file, weights, pythons, self._machine(), self._gpus)
        raise_problems(_unable(file, made))
        return Edition(file, tuple(made))

    def check_room(
        self, edition: Edition, surges: Sequence[Blueprint], active: Mapping[str, int]
    ) -> None:
        """Return if each of `surges` can be started beside what runs; else FleetError."""
        sizes = prepare.locked_sizes(edition.file)
        found = surge_findings(surges, active, self._machine(), sizes)
        raise_problems(edition.file.problem(*one) for one in found)


def _unable(file: FleetFile, blueprints: Sequence[Blueprint]) -> Iterator[Problem]:
    for one in blueprints:
        for path, message in one.engine.problems(one.deployment, one.hardware):
            yield file.problem(("deployments", one.name, *path), message)
