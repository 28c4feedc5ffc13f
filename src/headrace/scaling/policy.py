"""What a scaling policy says: a KEDA ScaledObject and the HPA it makes, under plain names.

Every field has one counterpart there, so that a policy which ran on one machine can be rendered to
a cluster without interpretation. Limits are those of the autoscaling/v2 API and of KEDA's
admission. The two loops that obey a policy are in `hpa` and `keda`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Signal = Literal["waiting", "running", "demand"]
Select = Literal["max", "min", "disabled"]

MAX_WINDOW = 3600
"""Longest stabilisation window that autoscaling/v2 accepts, in seconds."""
MAX_PERIOD = 1800
"""Longest period of a rate policy that autoscaling/v2 accepts, in seconds."""
SMALLEST_TARGET = 0.001
"""The HPA counts in thousandths."""
TOLERANCE = 0.1
"""The HPA's own tolerance (`--horizontal-pod-autoscaler-tolerance`)."""


def require(holds: bool, sentence: str) -> None:
    """Raise ValueError(sentence) unless the invariant holds."""
    if not holds:
        raise ValueError(sentence)


@dataclass(frozen=True, slots=True)
class Trigger:
    """One signal, and how much of it a replica should have (KEDA: a trigger of AverageValue).

    `waiting` requests are held or queued, `running` ones are bound to a replica, `demand` is both.
    With a `route` only its requests count (KEDA: another query). `target` is requests per replica
    (KEDA: threshold). The deployment is active while the signal,
    in requests, is strictly greater than `activation` (KEDA: activationThreshold). Raises
    ValueError.
    """

    signal: Signal
    target: float
    activation: float = 0.0
    route: str | None = None

    def __str__(self) -> str:
        """Name the signal: `waiting`, or `waiting of route chat`."""
        return self.signal if self.route is None else f"{self.signal} of route {self.route}"

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.target) and self.target >= SMALLEST_TARGET,
            f"the target of {self.signal!r} is {self.target}; it must be 0.001 or more",
        )
        require(
            math.isfinite(self.activation) and self.activation >= 0,
            f"the activation of {self.signal!r} is {self.activation}; it must be 0 or more",
        )


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most `value` replicas, or `value` percent of them, per `period` seconds."""

    kind: Literal["replicas", "percent"]
    value: int
    period: int

    def __post_init__(self) -> None:
        require(
            self.value > 0,
            f"a rate policy allows {self.value} {self.kind}; it must allow more than 0"
            " (to forbid a direction, set select to 'disabled')",
        )
        require(
            0 < self.period <= MAX_PERIOD,
            f"a rate policy has a period of {self.period} s; it must be 1 to {MAX_PERIOD}",
        )


@dataclass(frozen=True, slots=True)
class Direction:
    """How fast to go one way (HPA: behavior.scaleUp or behavior.scaleDown).

    `stabilization_window` is in seconds; None, like no policies, means Kubernetes's default for
    that way. `tolerance` is the relative distance from the target that is ignored. Raises
    ValueError.
    """

    stabilization_window: int | None = None
    policies: tuple[RatePolicy, ...] = ()
    select: Select = "max"
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        window = self.stabilization_window
        require(
            window is None or 0 <= window <= MAX_WINDOW,
            f"a stabilisation window is {window} s; it must be 0 to {MAX_WINDOW}",
        )
        require(
            math.isfinite(self.tolerance) and self.tolerance >= 0,
            f"a tolerance is {self.tolerance}; it must be 0 or more",
        )

    def filled(self, window: int, policies: tuple[RatePolicy, ...]) -> Rules:
        """Return the rules in force, given Kubernetes's defaults for this way."""
        return Rules(
            window=window if self.stabilization_window is None else self.stabilization_window,
            policies=self.policies or policies,
            select=self.select,
            tolerance=self.tolerance,
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """A direction with nothing left open; seconds as in `Direction`."""

    window: int
    policies: tuple[RatePolicy, ...]
    select: Select
    tolerance: float


@dataclass(frozen=True, slots=True)
class Behavior:
    """Both directions, as the API server completes them (pkg/apis/autoscaling/v2/defaults.go)."""

    up: Rules
    down: Rules


DEFAULT_UP = (RatePolicy("replicas", 4, 15), RatePolicy("percent", 100, 15))
DEFAULT_DOWN = (RatePolicy("percent", 100, 15),)
DEFAULT_UP_WINDOW = 0
DEFAULT_DOWN_WINDOW = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How many replicas a deployment may have, and what moves them; seconds. Raises ValueError.

    `min`, `max`, `idle`, `polling_interval`, `cooldown` and `initial_cooldown` are a ScaledObject's
    minReplicaCount and so on; `paused_at` is its annotation paused-replicas. `scale_up` and
    `scale_down` are the HPA's behavior. Where both are None there is no behavior, and the HPA's
    older limits hold, which differ from the defaults of a behavior. `sync_period` is the control
    plane's, not the ScaledObject's.
    """

    min: int
    max: int
    triggers: tuple[Trigger, ...]
    idle: int | None = None
    polling_interval: int = 30
    cooldown: int = 300
    initial_cooldown: int = 0
    sync_period: int = 15
    scale_up: Direction | None = None
    scale_down: Direction | None = None
    paused_at: int | None = None

    def __post_init__(self) -> None:
        require(self.min >= 0, f"min is {self.min}; it must be 0 or more")
        require(self.max >= 1, f"max is {self.max}; it must be 1 or more")
        require(
            self.min <= self.max, f"min {self.min} is above max {self.max}; lower one or raise one"
        )
        require(len(self.triggers) > 0, "a policy needs at least one trigger")
        require(
            self.idle is None or self.idle == 0 < self.min,
            f"idle is {self.idle} with min {self.min}; KEDA supports only idle 0 with min above 0,"
            " because the HPA lifts any other count to min at once",
        )
        require(
            self.paused_at is None or self.paused_at >= 0,
            f"paused_at is {self.paused_at}; it must be 0 or more",
        )
        self._check_times()

    def _check_times(self) -> None:
        for name in ("polling_interval", "sync_period"):
            seconds = getattr(self, name)
            require(seconds > 0, f"{name} is {seconds} s; it must be above 0")
        for name in ("cooldown", "initial_cooldown"):
            seconds = getattr(self, name)
            require(seconds >= 0, f"{name} is {seconds} s; it must be 0 or more")

    @property
    def awake_min(self) -> int:
        """Return the HPA's minReplicas: an HPA made by KEDA never goes below 1."""
        return max(1, self.min)

    @property
    def behavior(self) -> Behavior | None:
        """Return the behavior in force: one direction written, Kubernetes completes the other."""
        if self.scale_up is None and self.scale_down is None:
            return None
        up = self.scale_up or Direction()
        down = self.scale_down or Direction()
        return Behavior(
            up=up.filled(DEFAULT_UP_WINDOW, DEFAULT_UP),
            down=down.filled(DEFAULT_DOWN_WINDOW, DEFAULT_DOWN),
        )
