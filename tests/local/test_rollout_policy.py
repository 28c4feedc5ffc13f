"""One replica at a time, none unavailable: the policy by itself, with replicas that come and go at random."""

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.local.rollout_policy import Counts, Seen, Shift, Side, advance, returning, wanted


def seen(desired: int, leaving: Side, coming: Side) -> Seen:
    return Seen(desired, leaving, coming)


def side(ready: int, active: int | None = None, present: int | None = None) -> Side:
    active = ready if active is None else active
    return Side(ready, active, active if present is None else present)


def test_two_replicas_move_as_the_manual_says() -> None:
    """desired 2: surge to 3, watch, back to 2, surge to 3, watch, drain the last old one."""
    shift = Shift(since=0.0)
    now = seen(2, side(2), side(0))
    assert wanted(shift, now) == Counts(2, 1)
    assert advance(shift, now, 1.0, 30.0) == shift  # nothing is new yet
    now = seen(2, side(2), side(1))
    shift = advance(shift, now, 10.0, 30.0)
    assert (shift.stage, wanted(shift, now)) == ("watch", Counts(2, 1))
    assert advance(shift, now, 39.9, 30.0) == shift
    shift = advance(shift, now, 40.0, 30.0)
    assert (shift.stage, shift.trusted, wanted(shift, now)) == ("drain", 1, Counts(1, 1))
    now = seen(2, side(1, 1, 2), side(1))  # the old one drains still
    assert advance(shift, now, 41.0, 30.0) == shift
    now = seen(2, side(1), side(1))
    shift = advance(shift, now, 42.0, 30.0)
    assert (shift.stage, wanted(shift, now)) == ("surge", Counts(1, 2))
    now = seen(2, side(1), side(2))
    shift = advance(advance(shift, now, 43.0, 30.0), now, 73.0, 30.0)
    assert (shift.stage, wanted(shift, now)) == ("drain", Counts(0, 2))
    shift = advance(shift, seen(2, side(0), side(2)), 74.0, 30.0)
    assert (shift.stage, wanted(shift, now)) == ("done", Counts(0, 2))


def test_a_deployment_at_rest_proves_one_replica_and_rests_again() -> None:
    shift = Shift()
    assert wanted(shift, seen(0, side(0), side(0))) == Counts(0, 1)
    shift = advance(shift, seen(0, side(0), side(1)), 1.0, 30.0)
    assert (shift.stage, wanted(shift, seen(0, side(0), side(1)))) == ("drain", Counts(0, 0))
    assert advance(shift, seen(0, side(0), side(0)), 2.0, 30.0).stage == "done"


def test_a_new_one_that_falls_sick_under_watch_starts_the_watch_again() -> None:
    watch = Shift("watch", since=5.0)
    sick = advance(watch, seen(1, side(1), side(0, 1)), 20.0, 30.0)
    assert sick.stage == "surge"
    well = advance(sick, seen(1, side(1), side(1)), 25.0, 30.0)
    assert (well.stage, well.since) == ("watch", 25.0)


def test_a_crashed_old_one_starts_again_until_a_new_one_is_trusted() -> None:
    crashed = seen(2, side(1), side(0, 1))
    assert wanted(Shift(), crashed).leaving == 2
    crashed = seen(3, side(1), side(1))  # two old ones were left, one of them crashed
    assert wanted(Shift("surge", trusted=1), crashed) == Counts(1, 3)


def test_no_old_one_leaves_while_a_trusted_new_one_is_sick() -> None:
    drain = Shift("drain", trusted=2)
    assert wanted(drain, seen(2, side(1), side(2))).leaving == 0
    assert wanted(drain, seen(2, side(1), side(1, 2))).leaving == 1


def test_scaling_down_takes_old_ones_first_and_up_starts_new_ones_once_they_are_trusted() -> None:
    half = Shift("drain", trusted=2)
    assert wanted(half, seen(2, side(2), side(2))) == Counts(0, 2)
    assert wanted(half, seen(5, side(2), side(2))) == Counts(2, 3)
    assert wanted(Shift(), seen(5, side(2), side(0))) == Counts(5, 1)


def test_the_way_back_first_drops_the_one_under_watch() -> None:
    """Two of four are new and a third is under watch: it goes, then old ones come back one by one."""
    now = seen(4, leaving=side(3), coming=side(2))  # roles exchanged: the new ones leave
    shift = returning(now, 0.0)
    assert wanted(shift, now) == Counts(2, 2)
    now = seen(4, side(2), side(2))
    shift = advance(shift, now, 1.0, 0.0)
    assert (shift.stage, wanted(shift, now)) == ("surge", Counts(2, 3))
    now = seen(4, side(2), side(3))
    shift = advance(shift, now, 2.0, 0.0)
    assert (shift.stage, wanted(shift, now)) == ("drain", Counts(1, 3))


def test_the_way_back_starts_no_bad_one_again() -> None:
    assert wanted(returning(seen(2, side(0), side(0)), 0.0), seen(2, side(0), side(0))).leaving == 0
    now = seen(3, leaving=side(1), coming=side(1))  # two of the bad ones have crashed
    assert wanted(returning(now, 0.0), now) == Counts(1, 2)


@dataclass
class Fleet:
    """Replicas that obey counts, in their own time: starting, ready, then draining."""

    chance: random.Random
    starting: dict[str, int] = field(default_factory=lambda: {"old": 0, "new": 0})
    ready: dict[str, int] = field(default_factory=lambda: {"old": 0, "new": 0})
    draining: dict[str, int] = field(default_factory=lambda: {"old": 0, "new": 0})

    def side(self, which: str) -> Side:
        active = self.starting[which] + self.ready[which]
        return Side(self.ready[which], active, active + self.draining[which])

    def obey(self, which: str, count: int) -> None:
        while self.starting[which] + self.ready[which] < count:
            self.starting[which] += 1
        while self.starting[which] + self.ready[which] > count:
            if self.starting[which]:
                self.starting[which] -= 1
            else:
                self.ready[which] -= 1
                self.draining[which] += 1

    def time_passes(self) -> None:
        for which in ("old", "new"):
            if self.starting[which] and self.chance.random() < 0.5:
                self.starting[which] -= 1
                self.ready[which] += 1
            if self.draining[which] and self.chance.random() < 0.5:
                self.draining[which] -= 1


@given(
    seed=st.integers(0, 2**32),
    desired=st.integers(0, 6),
    scaling=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 6)), max_size=4),
    crashes=st.lists(st.integers(0, 80), max_size=3),
    turn_at=st.none() | st.integers(0, 60),
)
@settings(max_examples=300, deadline=None)
def test_it_always_arrives_and_never_takes_a_ready_replica_that_is_needed(
    seed: int,
    desired: int,
    scaling: list[tuple[int, int]],
    crashes: list[int],
    turn_at: int | None,
) -> None:
    """Scaling changes the count, old ones crash, somebody returns half-way: still one at a time."""
    fleet = Fleet(random.Random(seed))
    fleet.ready["old"] = desired
    shift, back = Shift(), False
    for tick in range(400):
        desired = next((count for at, count in scaling if at == tick), desired)
        if tick in crashes and fleet.ready["old"]:
            fleet.ready["old"] -= 1
        leaving, coming = ("new", "old") if back else ("old", "new")
        if tick == turn_at and shift.stage != "done":
            leaving, coming, back = "new", "old", True
            shift = returning(Seen(desired, fleet.side(leaving), fleet.side(coming)), tick)
        now = Seen(desired, fleet.side(leaving), fleet.side(coming))
        counts = wanted(shift, now)
        before = fleet.ready["old"] + fleet.ready["new"]
        assert counts.leaving + counts.coming <= desired + 1
        fleet.obey(leaving, counts.leaving)
        fleet.obey(coming, counts.coming)
        if not now.leaving.active - now.leaving.ready and not now.coming.active - now.coming.ready:
            after = fleet.ready["old"] + fleet.ready["new"]
            assert after >= min(desired, before)
        shift = advance(
            shift, Seen(desired, fleet.side(leaving), fleet.side(coming)), tick, 3.0 * (not back)
        )
        fleet.time_passes()
    assert shift.stage == "done"
    final = ("new", "old") if back else ("old", "new")
    assert fleet.side(final[0]) == Side(0, 0, 0)
    assert fleet.side(final[1]).ready == desired
