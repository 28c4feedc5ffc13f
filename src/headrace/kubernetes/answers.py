"""What KEDA is answered: the fleet file's scaling, applied to the gateways' demand.

A trigger of KEDA names a deployment (`deployment` in its metadata) and may name one of the file's
triggers (`trigger`; default: all of the deployment's). Signals, targets and activation are those of
`headrace.scaling`. Two things differ from a bare comparison, both so that nobody is put to sleep by
mistake: a deployment with running requests is active whatever its triggers say, and a sum with an
unknown part is an error unless what is known is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from headrace.fleet.types import Fleet
from headrace.kubernetes.demand import Total
from headrace.scaling.from_fleet import triggers_of
from headrace.scaling.policy import Trigger
from headrace.scaling.signals import Observation, Reading, read


class NotAskedForError(Exception):
    """The trigger's metadata name nothing in the fleet file; a sentence."""


class UnknownDemandError(Exception):
    """Nobody knows the demand at present; a sentence."""


@dataclass(frozen=True)
class Asked:
    """What one trigger of KEDA is about: a deployment's triggers by the name of their metric."""

    deployment: str
    triggers: Mapping[str, Trigger]


def metric_names(triggers: Sequence[Trigger]) -> Iterator[str]:
    """Yield a name for each trigger: `waiting`, `demand-chat` of a route, `waiting-2` if double."""
    seen: dict[str, int] = {}
    for one in triggers:
        name = one.signal if one.route is None else f"{one.signal}-{one.route}"
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"


def asked(fleet: Fleet, metadata: Mapping[str, str]) -> Asked:
    """Return what a trigger's metadata ask for; NotAskedForError."""
    name = metadata.get("deployment", "")
    if name not in fleet.deployments:
        known = ", ".join(fleet.deployments)
        raise NotAskedForError(f"the trigger's metadata name deployment {name!r}; known: {known}")
    triggers = triggers_of(fleet.deployments[name].scaling)
    found = dict(zip(metric_names(triggers), triggers, strict=True))
    one = metadata.get("trigger")
    if one is not None and one not in found:
        known = ", ".join(found) or "none"
        raise NotAskedForError(f"{name} has no trigger {one!r}; known: {known}")
    return Asked(name, found if one is None else {one: found[one]})


def values(about: Asked, total: Total) -> dict[str, float]:
    """Return each metric's value in requests; UnknownDemandError."""
    if total.unknown:
        raise UnknownDemandError(_words(about, total))
    readings = zip(about.triggers, _readings(about, total), strict=True)
    return {name: reading.value or 0.0 for name, reading in readings}


def active(about: Asked, total: Total) -> bool:
    """Return whether the deployment should be awake; UnknownDemandError."""
    if wakes(about, total) or total.demand.running > 0:
        return True
    if total.unknown:
        raise UnknownDemandError(_words(about, total))
    return False


def wakes(about: Asked, total: Total) -> bool:
    """Return whether what is known is enough to wake the deployment."""
    return any(reading.active for reading in _readings(about, total))


def _readings(about: Asked, total: Total) -> tuple[Reading, ...]:
    demand = total.demand
    seen = Observation(
        now=0.0,
        held=demand.held,
        queued=demand.queued,
        running=demand.running,
        replicas=0,
        ready=0,
        routes=demand.routes,
    )
    return read(tuple(about.triggers.values()), seen)


def _words(about: Asked, total: Total) -> str:
    return f"the demand of {about.deployment} is not known: {total.unknown}"
