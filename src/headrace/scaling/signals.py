"""What a scaling decision looks at: the work of one deployment and its replicas, at one moment.

A number that nobody could read is None, which is not 0: a missing number moves nothing down (see
`hpa` and `keda`), while 0 means that the deployment is idle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.scaling.policy import Trigger, require


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Requests and replicas of one deployment at `now` (seconds on any clock that never goes back).

    `held` requests wait because no replica is ready, `queued` ones because all are full, `running`
    ones are bound to a replica. `replicas` counts starting and ready ones but not those that drain,
    as a ReplicaSet's status.replicas does; so work that starting replicas will take never asks for
    more. `routes` has (held or queued, running) by route; one that is not there has no work. Raises
    ValueError.
    """

    now: float
    held: int | None
    queued: int | None
    running: int | None
    replicas: int
    ready: int
    routes: Mapping[str, tuple[int, int]] | None = None

    def __post_init__(self) -> None:
        for name in ("held", "queued", "running"):
            count = getattr(self, name)
            require(
                count is None or count >= 0, f"{name} is {count} requests; it must be at least 0"
            )
        require(
            0 <= self.ready <= self.replicas,
            f"{self.ready} of {self.replicas} replicas are ready; that cannot be",
        )

    def value(self, trigger: Trigger) -> int | None:
        """Return the trigger's signal in requests, None where a part of it is unknown."""
        waiting, running = self._work(trigger.route)
        match trigger.signal:
            case "waiting":
                return waiting
            case "running":
                return running
            case "demand":
                return _sum(waiting, running)

    def _work(self, route: str | None) -> tuple[int | None, int | None]:
        if route is None:
            return _sum(self.held, self.queued), self.running
        return (None, None) if self.routes is None else self.routes.get(route, (0, 0))


@dataclass(frozen=True, slots=True)
class Reading:
    """A trigger with the value, in requests, that it sees; None: missing."""

    trigger: Trigger
    value: float | None

    @property
    def active(self) -> bool:
        """Tell whether the value is strictly above the activation; a missing one never is."""
        return self.value is not None and self.value > self.trigger.activation


def read(triggers: tuple[Trigger, ...], seen: Observation) -> tuple[Reading, ...]:
    """Return what each trigger sees, in their order."""
    return tuple(Reading(trigger, seen.value(trigger)) for trigger in triggers)


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right
