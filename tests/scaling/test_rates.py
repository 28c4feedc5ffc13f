"""Limits per period: the arithmetic of Kubernetes, worked by hand in each case."""

import pytest

from headrace.scaling.history import History, Stamped
from headrace.scaling.policy import Behavior, RatePolicy, Rules, Select
from headrace.scaling.rates import default_up_limit, down_limit, up_limit


def rules(*policies: RatePolicy, select: Select = "max") -> Rules:
    return Rules(0, policies, select, 0.1)


@pytest.mark.parametrize(("spec", "limit"), [(1, 4), (2, 4), (3, 6), (10, 20)])
def test_without_a_behavior_twice_but_at_least_four(spec: int, limit: int) -> None:
    assert default_up_limit(spec) == limit


@pytest.mark.parametrize(
    ("spec", "policy", "limit"),
    [
        (3, RatePolicy("replicas", 4, 15), 7),
        (3, RatePolicy("percent", 100, 15), 6),
        (3, RatePolicy("percent", 10, 15), 4),  # ceil(3.3): a percentage always lets one more in
        (7, RatePolicy("percent", 50, 15), 11),  # ceil(10.5)
        (100, RatePolicy("percent", 10, 15), 111),  # 100 * 1.1 = 110.00000000000001, as in Go
    ],
)
def test_up(spec: int, policy: RatePolicy, limit: int) -> None:
    assert up_limit(rules(policy), History(), 0, spec) == limit


@pytest.mark.parametrize(
    ("spec", "policy", "limit"),
    [
        (7, RatePolicy("replicas", 2, 15), 5),
        (7, RatePolicy("replicas", 9, 15), -2),  # the bounds of the policy come later
        (7, RatePolicy("percent", 100, 15), 0),
        (7, RatePolicy("percent", 50, 15), 3),  # int(3.5)
        (3, RatePolicy("percent", 10, 15), 2),  # int(2.7)
    ],
)
def test_down(spec: int, policy: RatePolicy, limit: int) -> None:
    assert down_limit(rules(policy), History(), 0, spec) == limit


@pytest.mark.parametrize(("select", "up", "down"), [("max", 20, 5), ("min", 14, 6)])
def test_select_means_the_larger_or_the_smaller_change(select: Select, up: int, down: int) -> None:
    upward = (RatePolicy("replicas", 4, 15), RatePolicy("percent", 100, 15))
    downward = (RatePolicy("replicas", 4, 15), RatePolicy("percent", 50, 15))
    assert up_limit(rules(*upward, select=select), History(), 0, 10) == up
    assert down_limit(rules(*downward, select=select), History(), 0, 10) == down


def test_disabled_keeps() -> None:
    assert up_limit(rules(RatePolicy("replicas", 4, 15), select="disabled"), History(), 0, 3) == 3
    assert down_limit(rules(RatePolicy("replicas", 4, 15), select="disabled"), History(), 0, 3) == 3


def test_what_was_added_in_the_period_is_counted_until_it_is_exactly_over() -> None:
    one_a_minute = rules(RatePolicy("replicas", 1, 60))
    added = History(ups=(Stamped(0, 1),))
    assert up_limit(one_a_minute, added, 59.9, 2) == 2  # 2 - 1 + 1
    assert up_limit(one_a_minute, added, 60, 2) == 3


def test_what_was_removed_in_the_period_may_come_back() -> None:
    # 6 at the start of the minute, 2 added, 3 removed since: 5 now; start = 5 - 2 + 3 = 6
    moved = History(ups=(Stamped(10, 2),), downs=(Stamped(20, 3),))
    assert up_limit(rules(RatePolicy("replicas", 1, 60)), moved, 30, 5) == 7
    assert down_limit(rules(RatePolicy("replicas", 2, 60)), moved, 30, 5) == 4
    assert down_limit(rules(RatePolicy("percent", 50, 60)), moved, 30, 5) == 3


def test_an_exhausted_allowance_never_reverses() -> None:
    assert up_limit(rules(RatePolicy("replicas", 1, 60)), History(ups=(Stamped(0, 4),)), 1, 6) == 6
    spent = History(downs=(Stamped(0, 4),))
    assert down_limit(rules(RatePolicy("replicas", 1, 60)), spent, 1, 2) == 2


def test_each_policy_looks_back_over_its_own_period() -> None:
    # at most 2 per 15 s and at most 3 per 60 s, the smaller change counts
    both = rules(RatePolicy("replicas", 2, 15), RatePolicy("replicas", 3, 60), select="min")
    added = History(ups=(Stamped(0, 2),))
    assert up_limit(both, added, 15, 3) == 4  # 3 + 2, but 3 - 2 + 3 = 4
    assert up_limit(both, added, 60, 3) == 5


class TestEvents:
    behavior = Behavior(
        up=rules(RatePolicy("replicas", 1, 15), RatePolicy("replicas", 2, 60)),
        down=rules(RatePolicy("replicas", 1, 300)),
    )

    def test_each_way_has_its_own_and_sizes_are_positive(self) -> None:
        kept = History().scaled(0, 1, 3, self.behavior).scaled(5, 3, 2, self.behavior)
        assert kept == History(ups=(Stamped(0, 2),), downs=(Stamped(5, 1),))

    def test_a_new_event_takes_the_place_of_the_last_outdated_one_as_in_the_controller(
        self,
    ) -> None:
        kept = History(ups=(Stamped(0, 1), Stamped(1, 2), Stamped(50, 3)))
        assert kept.scaled(70, 4, 8, self.behavior).ups == (
            Stamped(0, 1),
            Stamped(70, 4),
            Stamped(50, 3),
        )

    def test_an_event_exactly_as_old_as_the_longest_period_is_not_outdated(self) -> None:
        assert len(History(ups=(Stamped(0, 1),)).scaled(60, 1, 2, self.behavior).ups) == 2

    def test_nothing_is_kept_without_a_behavior_or_without_a_change(self) -> None:
        assert History().scaled(0, 1, 2, None) == History()
        assert History().scaled(0, 2, 2, self.behavior) == History()
