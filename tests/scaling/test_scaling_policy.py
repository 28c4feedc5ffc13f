"""Invariants are those of the autoscaling/v2 API and of KEDA's admission; defaults are Kubernetes's."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from headrace.scaling.policy import Behavior, Direction, Policy, RatePolicy, Rules, Trigger

WAITING = Trigger("waiting", 5)


def policy(**fields: Any) -> Policy:
    return Policy(**{"min": 0, "max": 2, "triggers": (WAITING,), **fields})


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Trigger("waiting", 0), "0.001 or more"),
        (lambda: Trigger("waiting", math.nan), "0.001 or more"),
        (lambda: Trigger("waiting", math.inf), "0.001 or more"),
        (lambda: Trigger("running", 5, activation=-1), "'running' is -1"),
        (lambda: RatePolicy("replicas", 0, 60), "'disabled'"),
        (lambda: RatePolicy("percent", 100, 0), "1 to 1800"),
        (lambda: RatePolicy("percent", 100, 1801), "1 to 1800"),
        (lambda: Direction(stabilization_window=3601), "0 to 3600"),
        (lambda: Direction(stabilization_window=-1), "0 to 3600"),
        (lambda: Direction(tolerance=-0.1), "0 or more"),
        (lambda: policy(min=-1), "min is -1"),
        (lambda: policy(max=0), "max is 0"),
        (lambda: policy(min=3), "min 3 is above max 2"),
        (lambda: policy(triggers=()), "at least one trigger"),
        (lambda: policy(idle=0), "min above 0"),
        (lambda: policy(min=2, idle=1), "only idle 0"),
        (lambda: policy(paused_at=-1), "paused_at is -1"),
        (lambda: policy(polling_interval=0), "polling_interval is 0 s"),
        (lambda: policy(sync_period=0), "sync_period is 0 s"),
        (lambda: policy(cooldown=-1), "cooldown is -1 s"),
        (lambda: policy(initial_cooldown=-1), "initial_cooldown is -1 s"),
    ],
)
def test_a_contradiction_is_an_error_that_says_what_is_wrong(
    build: Callable[[], object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_periods_default_to_those_of_keda_and_the_control_plane() -> None:
    made = policy()
    assert (made.polling_interval, made.cooldown, made.initial_cooldown) == (30, 300, 0)
    assert made.sync_period == 15


def test_without_directions_there_is_no_behavior() -> None:
    assert policy().behavior is None


def test_one_direction_makes_kubernetes_complete_both() -> None:
    up = Direction(policies=(RatePolicy("replicas", 1, 60),))
    assert policy(scale_up=up).behavior == Behavior(
        up=Rules(0, (RatePolicy("replicas", 1, 60),), "max", 0.1),
        down=Rules(300, (RatePolicy("percent", 100, 15),), "max", 0.1),
    )


def test_an_empty_direction_gets_kubernetes_defaults_for_scaling_up() -> None:
    completed = policy(scale_down=Direction(stabilization_window=0)).behavior
    assert completed is not None
    assert completed.up.policies == (RatePolicy("replicas", 4, 15), RatePolicy("percent", 100, 15))
    assert completed.down.window == 0


@pytest.mark.parametrize(("low", "awake"), [(0, 1), (1, 1), (2, 2)])
def test_an_hpa_made_by_keda_never_goes_below_one(low: int, awake: int) -> None:
    assert policy(min=low).awake_min == awake
