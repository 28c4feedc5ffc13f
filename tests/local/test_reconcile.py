from hypothesis import given
from hypothesis import strategies as st

from headrace.local.reconcile import Plan, Seen, plan
from headrace.view.states import NEXT, State

ACTIVE = {State.STARTING, State.PROBING, State.READY}


def test_missing_replicas_start_in_the_lowest_free_slots() -> None:
    seen = [Seen(2, State.READY), Seen(3, State.DRAINING)]
    assert plan(3, seen, may_start=True) == Plan(start=(1, 4))


def test_back_off_starts_nothing_but_stops_what_is_too_much() -> None:
    assert plan(2, [], may_start=False) == Plan()
    assert plan(0, [Seen(1, State.READY)], may_start=False) == Plan(stop=(1,))


def test_starting_ones_go_first_then_the_least_busy_then_the_newest() -> None:
    seen = [
        Seen(1, State.READY, 5),
        Seen(2, State.READY, 1),
        Seen(3, State.READY, 1),
        Seen(4, State.PROBING),
        Seen(5, State.STARTING),
    ]
    assert plan(0, seen, may_start=True).stop == (5, 4, 3, 2, 1)
    assert plan(3, seen, may_start=True).stop == (5, 4)


def test_replicas_that_start_are_not_started_again() -> None:
    seen = [Seen(1, State.STARTING), Seen(2, State.PROBING)]
    assert plan(2, seen, may_start=True) == Plan()


def test_what_leaves_does_not_count() -> None:
    leaving = [State.DRAINING, State.STOPPING, State.CRASHED, State.WRONG]
    seen = [Seen(slot, state) for slot, state in enumerate(leaving, 1)]
    assert plan(1, seen, may_start=True) == Plan(start=(5,))


REPLICAS = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(State), st.integers(0, 5)),
    unique_by=lambda each: each[0],
).map(lambda given: [Seen(*each) for each in given])


@given(st.integers(0, 9), REPLICAS, st.booleans())
def test_carrying_out_a_plan_reaches_what_was_desired(
    desired: int, seen: list[Seen], may_start: bool
) -> None:
    wanted = plan(desired, seen, may_start=may_start)
    active = {replica.slot for replica in seen if replica.state in ACTIVE}
    taken = {replica.slot for replica in seen}
    assert set(wanted.stop) <= active
    assert not set(wanted.start) & taken
    assert len(set(wanted.start)) == len(wanted.start)
    after = len(active) - len(wanted.stop) + len(wanted.start)
    assert after == desired if may_start else after == min(desired, len(active))
    assert not (wanted.start and wanted.stop)


@given(st.integers(0, 9), REPLICAS)
def test_a_plan_never_stops_a_busier_replica_than_it_keeps(desired: int, seen: list[Seen]) -> None:
    stopped = set(plan(desired, seen, may_start=True).stop)
    ready = [replica for replica in seen if replica.state == State.READY]
    kept = [replica.in_flight for replica in ready if replica.slot not in stopped]
    gone = [replica.in_flight for replica in ready if replica.slot in stopped]
    assert not kept or not gone or max(gone) <= min(kept)


def test_only_a_replica_that_was_probed_becomes_ready_and_a_wrong_one_never_does() -> None:
    assert [state for state, following in NEXT.items() if State.READY in following] == [
        State.PROBING
    ]
    assert NEXT[State.WRONG] == {State.GONE}
    assert set(NEXT) == set(State)
