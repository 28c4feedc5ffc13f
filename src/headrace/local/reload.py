"""An edited file applied to a running fleet at once: what touches no replica, or nothing at all.

Routes, variants, limits, queues, scaling, prices and keys change between two requests; what an
engine would notice is refused with the field's line and left to `headrace rollout`. Pure but for
reading the files; `rollouts.py` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.fleet.document import Path_
from headrace.fleet.load import FleetFile, load_fleet, raise_problems
from headrace.fleet.types import Fleet, Hardware, Model
from headrace.gateway.key_file import key_file
from headrace.local import rollout_plan
from headrace.local.differences import Difference, differences
from headrace.local.edition import Edition
from headrace.local.preflight import Finding
from headrace.planning.settled import settled
from headrace.routing.from_fleet import aliases

_CURE = "needs new replicas; use `headrace rollout`"


@dataclass(frozen=True)
class Reloaded:
    """The edition to serve from now on, and what it changes, a line for each part."""

    edition: Edition
    lines: tuple[str, ...]


def read(running: Edition, path: Path) -> Reloaded:
    """Return the file as the next edition; FleetError if it is invalid or needs a rollout."""
    file = settled(load_fleet(path)).file
    found = [*rollout_plan.fixed(running.file.fleet, file.fleet)]
    found += _refused(running.file.fleet, file.fleet)
    raise_problems(file.problem(*one) for one in found)
    key_file(file)
    edition = _next(running, file)
    return Reloaded(edition, rollout_plan.compare(running, edition).changed())


def _refused(running: Fleet, wanted: Fleet) -> Iterator[Finding]:
    """Yield what the replicas that run cannot become."""
    for name in wanted.deployments:
        path: Path_ = ("deployments", name)
        if name in running.deployments:
            yield from _noticed(running, wanted, name)
        else:
            yield path, f"it is new and {_CURE}"
    for name in running.deployments.keys() - wanted.deployments.keys():
        yield ("deployments",), f"{name} is gone, and its replicas; use `headrace rollout`"


def _noticed(running: Fleet, wanted: Fleet, name: str) -> Iterator[Finding]:
    old, new = running.deployments[name], wanted.deployments[name]
    models = running.models[old.model], wanted.models[new.model]
    places = running.hardware[old.hardware], wanted.hardware[new.hardware]
    found = [
        *_changed(*models, ("models", new.model)),
        *_changed(*places, ("hardware", new.hardware)),
        *rollout_plan.engine_differences(old, new, ("deployments", name)),
    ]
    yield from ((one.path, f"{one.values} {_CURE}".lstrip()) for one in found)


def _changed(old: Model | Hardware, new: Model | Hardware, path: Path_) -> Iterator[Difference]:
    unnoticed = {"allow_pickle", *rollout_plan.PLANNED}  # the first only says what may be pulled
    yield from differences(
        old.model_dump(exclude=unnoticed), new.model_dump(exclude=unnoticed), path
    )


def _next(running: Edition, file: FleetFile) -> Edition:
    """Return the running blueprints under the new file's rules."""
    fleet = file.fleet
    made = (
        replace(
            running.by_name[name],
            deployment=deployment,
            hardware=fleet.hardware[deployment.hardware],
            aliases=aliases(fleet, name),
        )
        for name, deployment in fleet.deployments.items()
    )
    return Edition(file, tuple(made))
