"""One sync against the published rules: Kubernetes 1.36 and what a real control plane did."""

import pytest

from headrace.scaling.history import History, Stamped
from headrace.scaling.hpa import Sync, sync
from headrace.scaling.policy import Direction, Policy, RatePolicy, Trigger
from headrace.scaling.signals import Reading

AT_ONCE = Direction(stabilization_window=0)
TARGET = Trigger("waiting", 100)


def policy(
    low: int = 1,
    high: int = 100,
    triggers: tuple[Trigger, ...] = (TARGET,),
    up: Direction = AT_ONCE,
    down: Direction = AT_ONCE,
) -> Policy:
    return Policy(min=low, max=high, triggers=triggers, scale_up=up, scale_down=down)


def one(
    policy: Policy,
    spec: int,
    *values: float | None,
    replicas: int | None = None,
    history: History | None = None,
    now: float = 0.0,
) -> Sync:
    readings = tuple(Reading(t, v) for t, v in zip(policy.triggers, values, strict=True))
    return sync(
        policy,
        history or History(),
        now=now,
        spec=spec,
        replicas=spec if replicas is None else replicas,
        readings=readings,
    )


@pytest.mark.parametrize(
    ("value", "desired"),
    [
        (1080, 10),  # ratio 1.08
        (1095, 10),
        (905, 10),
        (1100, 10),  # 1.1 and 0.9 themselves are within
        (900, 10),
        (1120, 12),  # ceil(11.2)
        (750, 8),  # ceil(7.5)
        (1101, 12),  # ceil(11.01)
        (899, 9),
        (1000, 10),
        (0, 1),  # ceil(0) = 0, then min
    ],
)
def test_ratios_within_a_tenth_change_nothing(value: float, desired: int) -> None:
    # ten replicas of target 100 make 1000; up and down at once
    assert one(policy(), 10, value).desired == desired


def test_a_direction_has_its_own_tolerance() -> None:
    made = policy(up=Direction(0, tolerance=0.0), down=Direction(0, tolerance=0.3))
    assert one(made, 10, 1001).desired == 11  # any growth counts
    assert one(made, 10, 700).desired == 10  # 0.7 is still within
    assert one(made, 10, 699).desired == 7


def test_metrics_are_whole_thousandths() -> None:
    made = policy(triggers=(Trigger("waiting", 0.0015),))  # 1 thousandth, as the API would hold it
    assert one(made, 1, 0.0039).desired == 3  # 3 thousandths / 1


def test_tolerance_counts_replicas_that_exist_and_starting_ones_do() -> None:
    # 22 waiting at target 5 asked for 5; all 5 exist though none is ready: 22/25 = 0.88 -> ceil(4.4)
    made = policy(triggers=(Trigger("waiting", 5),))
    assert one(made, 5, 22).desired == 5
    assert one(made, 5, 24).desired == 5  # 0.96 is within: as many as exist


def test_within_the_tolerance_the_answer_is_what_exists_not_what_was_asked_for() -> None:
    assert one(policy(), 6, 400, replicas=4).desired == 4


def test_no_existing_replica_means_no_tolerance() -> None:
    assert one(policy(), 2, 300, replicas=0).desired == 3
    assert one(policy(), 2, 0, replicas=0).desired == 1


def test_zero_replicas_are_left_alone() -> None:
    found = one(policy(low=0), 0, 500)
    assert (found.found, found.desired) == ("asleep", 0)


@pytest.mark.parametrize(("spec", "desired", "found"), [(9, 4, "above_max"), (1, 2, "below_min")])
def test_outside_the_bounds_no_metric_window_or_rate_counts(
    spec: int, desired: int, found: str
) -> None:
    slow = Direction(3600, policies=(RatePolicy("replicas", 1, 1800),))
    got = one(policy(2, 4, up=slow, down=slow), spec, None)
    assert (got.desired, got.found) == (desired, found)


class TestSeveralMetrics:
    both = policy(triggers=(Trigger("waiting", 5), Trigger("running", 10)))

    def test_the_highest_proposal_wins(self) -> None:
        assert one(self.both, 2, 22, 30).desired == 5  # ceil(4.4) over ceil(3)
        assert one(self.both, 2, 2, 30).desired == 3

    def test_all_missing_keeps(self) -> None:
        got = one(self.both, 2, None, None)
        assert (got.desired, got.found) == (2, "missing")

    def test_some_missing_and_the_rest_lower_keeps(self) -> None:
        assert one(self.both, 4, 5, None).found == "missing"
        assert one(self.both, 4, 5, None).desired == 4

    def test_some_missing_and_the_rest_equal_is_a_recommendation(self) -> None:
        got = one(self.both, 4, 20, None, now=15)
        assert got.found == "metrics"
        assert got.history.recommendations[-1] == Stamped(15, 4)

    def test_some_missing_and_the_rest_higher_goes_up(self) -> None:
        assert one(self.both, 4, 30, None).desired == 6

    def test_missing_is_not_zero(self) -> None:
        assert one(self.both, 4, 0, 0).desired == 1
        assert one(self.both, 4, None, 0).desired == 4

    def test_a_sync_that_keeps_for_a_missing_metric_recommends_nothing(self) -> None:
        before = History((Stamped(0, 4),))
        assert one(self.both, 4, None, None, history=before, now=15).history == before


class TestWithoutBehavior:
    plain = Policy(min=1, max=100, triggers=(Trigger("waiting", 5),))

    @pytest.mark.parametrize(("spec", "desired"), [(1, 4), (2, 4), (3, 6), (4, 8), (60, 100)])
    def test_growth_is_limited_to_twice_but_at_least_four(self, spec: int, desired: int) -> None:
        assert one(self.plain, spec, 5000).desired == desired

    def test_the_highest_recommendation_of_five_minutes_wins_both_ends_included(self) -> None:
        seen = History((Stamped(0, 3),))
        assert one(self.plain, 3, 0, history=seen, now=300).desired == 3
        assert one(self.plain, 3, 0, history=seen, now=300.1).desired == 1

    def test_the_first_sync_recommends_what_it_finds(self) -> None:
        found = one(self.plain, 3, 0)
        assert found.desired == 3
        assert found.history.recommendations == (Stamped(0, 3), Stamped(0, 0))


class TestWindows:
    made = policy(triggers=(Trigger("waiting", 5),), up=Direction(60), down=Direction(300))

    def test_growth_takes_the_lowest_recommendation_of_its_window(self) -> None:
        seen = History((Stamped(0, 2), Stamped(30, 3)))
        assert one(self.made, 2, 50, history=seen, now=45).desired == 2
        # at 60 the first recommendation is exactly as old as the window, and no longer counts
        assert one(self.made, 2, 50, history=seen, now=60).desired == 3
        assert one(self.made, 2, 50, history=seen, now=90).desired == 6  # 10, but +4 per 15 s

    def test_shrinking_takes_the_highest_recommendation_of_its_window(self) -> None:
        seen = History((Stamped(0, 8), Stamped(100, 5)))
        assert one(self.made, 8, 5, history=seen, now=299).desired == 8
        assert one(self.made, 8, 5, history=seen, now=300).desired == 5
        assert one(self.made, 8, 5, history=seen, now=400).desired == 1

    def test_the_raw_recommendation_is_what_is_remembered(self) -> None:
        found = one(self.made, 2, 500, history=History((Stamped(0, 2),)), now=15)
        assert (found.desired, found.raw) == (2, 100)
        assert found.history.recommendations[-1] == Stamped(15, 100)

    def test_recommendations_that_no_window_reaches_are_forgotten(self) -> None:
        seen = History((Stamped(0, 2), Stamped(100, 2)))
        assert one(self.made, 2, 10, history=seen, now=400).history.recommendations == (
            Stamped(100, 2),
            Stamped(400, 2),
        )
