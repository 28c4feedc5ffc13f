"""What a scaling decision looks at: the work of one deployment and its replicas, at one moment.

A number that nobody could read is None, which is not 0: a missing number moves nothing down (see
`hpa` and `keda`), while 0 means that the deployment is idle.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.scaling.policy import Signal, Trigger, require


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Requests and replicas of one deployment at `now` (seconds on any clock that never goes back).

    `held` requests wait because no replica is ready, `queued` ones because all are full, `running`
    ones are bound to a replica. `replicas` counts starting and ready ones but not those that drain,
    as a ReplicaSet's status.replicas does; so work that starting replicas will take never asks for
    more. Raises ValueError.
    """

    now: float
    held: int | None
    queued: int | None
    running: int | None
    replicas: int
    ready: int

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

    def value(self, signal: Signal) -> int | None:
        """Return the signal in requests, None where a part of it is unknown."""
        waiting = _sum(self.held, self.queued)
        match signal:
            case "waiting":
                return waiting
            case "running":
                return self.running
            case "demand":
                return _sum(waiting, self.running)


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
    return tuple(Reading(trigger, seen.value(trigger.signal)) for trigger in triggers)


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right
