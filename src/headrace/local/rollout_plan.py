"""What a rollout has to do: a running fleet compared with a changed file. Data in, data out.

A deployment needs new replicas only where a running engine would notice the change; how it is
scaled, queued, drained, priced and reached is changed in place. `rollout.py` carries the plan out,
`reload.py` one that changes nothing but in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Fleet
from headrace.local.blueprint import Blueprint
from headrace.local.differences import Difference, differences, routes
from headrace.local.edition import Edition
from headrace.local.preflight import Finding

Kind = Literal["unchanged", "in place", "rolled", "added", "removed"]
_IN_PLACE = ("price", "balancing", "scaling", "lifecycle", "rollout", "queue")
_BOUND = ("host", "port", "admin_host", "admin_port")
PLANNED = {"hourly_price", "nodes", "per_node"}
"""Fields of hardware that only plans are made from."""
_NAMES = {"model", "hardware"}
"""Fields that only name other parts of the file; those parts are compared themselves."""


@dataclass(frozen=True)
class Change:
    """What happens to one deployment; `fields` say which of its fields changed, and how."""

    name: str
    kind: Kind
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write one line for a person."""
        return f"{self.name}: {self.kind}{': ' if self.fields else ''}{', '.join(self.fields)}"


@dataclass(frozen=True)
class Plan:
    """All changes: first those of deployments, then those of routes and the gateway, in words."""

    changes: tuple[Change, ...]
    others: tuple[str, ...] = ()

    def of(self, kind: Kind) -> tuple[str, ...]:
        """Return the deployments to which this happens, in order."""
        return tuple(change.name for change in self.changes if change.kind == kind)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.others and all(change.kind == "unchanged" for change in self.changes)

    def lines(self) -> tuple[str, ...]:
        """Return the plan for a person."""
        return (*(str(change) for change in self.changes), *self.others)

    def changed(self) -> tuple[str, ...]:
        """Return the lines without those of deployments that stay as they are."""
        kept = (str(change) for change in self.changes if change.kind != "unchanged")
        return (*kept, *self.others)


def compare(running: Edition, wanted: Edition) -> Plan:
    """Return what leads from the running edition to the wanted one."""
    old, new = running.by_name, wanted.by_name
    changes = [_change(old.get(name), blueprint) for name, blueprint in new.items()]
    changes += [Change(name, "removed") for name in old if name not in new]
    return Plan(tuple(changes), tuple(_others(running.file.fleet, wanted.file.fleet)))


def fixed(running: Fleet, wanted: Fleet) -> Iterator[Finding]:
    """Yield changes that a fleet cannot take while it is up."""
    if wanted.fleet != running.fleet:
        yield ("fleet",), f"the fleet that is up is '{running.fleet}', not '{wanted.fleet}'"
    for name in _BOUND:
        old, new = getattr(running.gateway, name), getattr(wanted.gateway, name)
        if old != new:
            cure = "an address is bound once; set it back, or `headrace down` and up again"
            yield ("gateway", name), f"{old} cannot become {new} while the fleet is up: {cure}"


def _change(old: Blueprint | None, new: Blueprint) -> Change:
    if old is None:
        return Change(new.name, "added")
    noticed = tuple(_noticed(old, new))
    in_place = tuple(map(str, in_place_differences(old.deployment, new.deployment)))
    if noticed:
        return Change(new.name, "rolled", (*noticed, *in_place))
    return Change(new.name, "in place" if in_place else "unchanged", in_place)


def engine_differences(old: Deployment, new: Deployment, path: Path_ = ()) -> Iterator[Difference]:
    """Yield what differs and needs new replicas, apart from the model and the hardware."""
    without = {*_IN_PLACE, *_NAMES}
    yield from differences(old.model_dump(exclude=without), new.model_dump(exclude=without), path)


def in_place_differences(old: Deployment, new: Deployment) -> Iterator[Difference]:
    """Yield what differs and no running engine notices."""
    within = set(_IN_PLACE)
    yield from differences(old.model_dump(include=within), new.model_dump(include=within))


def _noticed(old: Blueprint, new: Blueprint) -> Iterator[str]:
    """Yield what a running engine cannot change."""
    yield from map(str, engine_differences(old.deployment, new.deployment))
    here, there = (one.hardware.model_dump(exclude=PLANNED) for one in (old, new))
    hardware = differences(here, there, ("hardware",))
    yield from map(str, hardware)
    if old.model_path != new.model_path:
        yield "weights"
    if old.known != new.known:
        yield "known_prompt"
    if old.python != new.python and old.deployment.engine == new.deployment.engine:
        yield "the engine's environment"
    if old.adapters != new.adapters and old.deployment.adapters == new.deployment.adapters:
        yield "the adapters' weights"


def _others(old: Fleet, new: Fleet) -> Iterator[str]:
    yield from routes(old.routes, new.routes)
    bound = set(_BOUND)
    before, after = old.gateway.model_dump(exclude=bound), new.gateway.model_dump(exclude=bound)
    yield from (f"gateway: {one}" for one in differences(before, after))
