"""KEDA's loop against its source and against what a real control plane did."""

from collections.abc import Callable
from typing import Any

import pytest

from headrace.scaling.keda import Activity, Poll, poll, push
from headrace.scaling.policy import Policy, Trigger
from headrace.scaling.signals import Reading

ON = Activity(created=0, last_active=100)
NEVER = Activity(created=0)


def policy(low: int = 0, **fields: Any) -> Policy:
    triggers = fields.pop("triggers", (Trigger("waiting", 5),))
    return Policy(min=low, max=6, triggers=triggers, **fields)


def one(
    policy: Policy,
    activity: Activity,
    now: float,
    spec: int,
    *values: float | None,
    act: Callable[..., Poll] = poll,
) -> Poll:
    readings = tuple(Reading(t, v) for t, v in zip(policy.triggers, values, strict=True))
    return act(policy, activity, now=now, spec=spec, readings=readings)


@pytest.mark.parametrize(("low", "woken"), [(0, 1), (1, 1), (3, 3)])
def test_from_zero_it_writes_the_larger_of_one_and_min_at_once(low: int, woken: int) -> None:
    found = one(policy(low), NEVER, 100, 0, 1000)
    assert (found.found, found.desired) == ("woken", woken)
    assert found.activity == ON


def test_activation_is_strictly_greater() -> None:
    made = policy(triggers=(Trigger("waiting", 5, activation=10),))
    assert one(made, NEVER, 1, 0, 10).desired == 0
    assert one(made, NEVER, 1, 0, 11).desired == 1


def test_one_active_trigger_suffices() -> None:
    made = policy(triggers=(Trigger("waiting", 5), Trigger("running", 5)))
    assert one(made, NEVER, 1, 0, 0, 1).desired == 1


def test_between_one_and_max_it_only_notes_the_activity() -> None:
    found = one(policy(), ON, 130, 3, 1000)
    assert (found.desired, found.activity.last_active) == (3, 130)


@pytest.mark.parametrize(("now", "desired"), [(399, 3), (400, 3), (400.1, 0)])
def test_after_the_cooldown_it_goes_straight_to_zero(now: float, desired: int) -> None:
    # last active at 100, cooldown 300: strictly after 400, from 3 to 0 in one write
    assert one(policy(), ON, now, 3, 0).desired == desired


@pytest.mark.parametrize("now", [0.5, 1000])
def test_a_new_policy_has_no_cooldown(now: float) -> None:
    assert one(policy(), NEVER, now, 3, 0).desired == 0


def test_the_initial_cooldown_protects_a_new_policy() -> None:
    assert one(policy(initial_cooldown=60), NEVER, 60, 3, 0).desired == 3
    assert one(policy(initial_cooldown=60), NEVER, 60.1, 3, 0).desired == 0


def test_the_cooldown_does_nothing_above_min() -> None:
    assert one(policy(low=1), ON, 10_000, 3, 0).desired == 3


def test_at_or_below_activation_it_sleeps_although_the_hpa_wants_more() -> None:
    made = policy(triggers=(Trigger("waiting", 5, activation=10),))
    assert one(made, ON, 401, 2, 10).desired == 0


def test_below_min_it_restores_min() -> None:
    assert one(policy(low=2), NEVER, 1, 0, 0).desired == 2
    assert one(policy(low=2), NEVER, 1, 1, 0).desired == 2


class TestIdle:
    made = policy(low=2, idle=0)

    def test_activity_takes_it_to_min(self) -> None:
        assert one(self.made, NEVER, 1, 0, 1).desired == 2
        assert one(self.made, NEVER, 1, 1, 1).desired == 2
        assert one(self.made, NEVER, 1, 2, 1).found == "active"

    def test_inactivity_takes_it_to_idle_after_the_cooldown(self) -> None:
        assert one(self.made, ON, 400, 5, 0).desired == 5
        assert one(self.made, ON, 401, 5, 0).desired == 0

    def test_it_stays_there(self) -> None:
        assert one(self.made, ON, 401, 0, 0).desired == 0


class TestMissing:
    two = policy(triggers=(Trigger("waiting", 5), Trigger("running", 5)))

    def test_it_never_wakes(self) -> None:
        assert one(policy(), NEVER, 1, 0, None).desired == 0
        assert one(policy(low=2), NEVER, 1, 0, None).desired == 0

    def test_it_never_puts_to_sleep(self) -> None:
        assert one(policy(), ON, 10_000, 3, None).desired == 3
        assert one(self.two, ON, 10_000, 3, 0, None).desired == 3

    def test_beside_an_active_trigger_it_wakes(self) -> None:
        assert one(self.two, NEVER, 1, 0, 1, None).desired == 1

    def test_beside_an_active_trigger_the_activity_is_not_refreshed(self) -> None:
        assert one(self.two, ON, 200, 3, 1, None).activity == ON


class TestPush:
    def test_work_wakes(self) -> None:
        found = one(policy(low=2), NEVER, 7, 0, 1, act=push)
        assert (found.desired, found.activity.last_active) == (2, 7)

    def test_work_at_the_activation_does_not(self) -> None:
        made = policy(triggers=(Trigger("waiting", 5, activation=1),))
        assert one(made, NEVER, 7, 0, 1, act=push).desired == 0

    def test_it_keeps_awake(self) -> None:
        assert one(policy(), ON, 350, 2, 1, act=push).activity.last_active == 350

    def test_it_never_puts_to_sleep(self) -> None:
        assert one(policy(), ON, 10_000, 3, 0, act=push).desired == 3
