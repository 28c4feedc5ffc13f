"""What a rollout has to do: a running fleet compared with a changed file. Data in, data out.

A deployment needs new replicas only where a running engine would notice the change; how it is
scaled, queued, drained and reached is changed in place. `rollout.py` carries the plan out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from headrace.fleet.types import Deployment, Fleet
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition
from headrace.local.preflight import Finding

Kind = Literal["unchanged", "in place", "rolled", "added", "removed"]
_IN_PLACE = ("scaling", "lifecycle", "rollout", "queue")
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


def compare(running: Edition, wanted: Edition) -> Plan:
    """Return what leads from the running edition to the wanted one."""
    old, new = running.by_name, wanted.by_name
    changes = [_change(old.get(name), blueprint) for name, blueprint in new.items()]
    changes += [Change(name, "removed") for name in old if name not in new]
    return Plan(tuple(changes), tuple(_others(running.file.fleet, wanted.file.fleet)))


def transitional(old: Blueprint, new: Blueprint) -> Blueprint:
    """Return the new blueprint with the old names too: routes change only after all replicas."""
    names = dict.fromkeys((*new.served_names, *old.served_names))
    return replace(new, served_names=tuple(names))


def fixed(running: Fleet, wanted: Fleet) -> Iterator[Finding]:
    """Yield changes that a fleet cannot take while it is up."""
    if wanted.fleet != running.fleet:
        yield ("fleet",), f"the fleet that is up is '{running.fleet}', not '{wanted.fleet}'"
    for name in ("host", "port", "admin_host", "admin_port"):
        old, new = getattr(running.gateway, name), getattr(wanted.gateway, name)
        if old != new:
            cure = "an address is bound once; set it back, or `headrace down` and up again"
            yield ("gateway", name), f"{old} cannot become {new} while the fleet is up: {cure}"


def _change(old: Blueprint | None, new: Blueprint) -> Change:
    if old is None:
        return Change(new.name, "added")
    noticed = tuple(_noticed(old, new))
    in_place = tuple(
        name for name in _IN_PLACE if getattr(old.deployment, name) != getattr(new.deployment, name)
    )
    if noticed:
        return Change(new.name, "rolled", (*noticed, *in_place))
    return Change(new.name, "in place" if in_place else "unchanged", in_place)


def _noticed(old: Blueprint, new: Blueprint) -> Iterator[str]:
    """Yield what a running engine cannot change."""
    yield from _differences(_engine_part(old.deployment), _engine_part(new.deployment))
    yield from _differences(old.hardware.model_dump(), new.hardware.model_dump(), "hardware")
    if old.model_path != new.model_path:
        yield "weights"
    if old.known != new.known:
        yield "known_prompt"
    if old.python != new.python and old.deployment.engine == new.deployment.engine:
        yield "the engine's environment"
    for alias in new.served_names:
        if alias not in old.served_names:
            yield f"alias {alias} added"


def _engine_part(deployment: Deployment) -> dict[str, Any]:
    return deployment.model_dump(exclude={*_IN_PLACE, *_NAMES})


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield `field old -> new`; values of the environment are nobody's business."""
    for key in dict.fromkeys((*old, *new)):
        path = f"{prefix}.{key}" if prefix else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, path)
        elif before != after:
            secret = path.startswith("engine.env.")
            yield path if secret else f"{path} {_shown(before)} -> {_shown(after)}"


def _shown(value: object) -> object:
    """Return a duration of 18 ms as 0.018, not as floating point has it."""
    return round(value, 6) if isinstance(value, float) else value


def _others(old: Fleet, new: Fleet) -> Iterator[str]:
    for name in dict.fromkeys((*old.routes, *new.routes)):
        before, after = old.routes.get(name), new.routes.get(name)
        if before != after:
            how = "added" if before is None else "removed" if after is None else "changed"
            yield f"route {name}: {how}"
    if old.gateway.keys != new.gateway.keys:
        yield "gateway.keys: changed"
