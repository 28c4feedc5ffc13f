from hypothesis import given
from hypothesis import strategies as st

from headrace.local.restarts import Restarts

CHANCE = st.floats(0, 1, exclude_max=True)


def crash(state: Restarts, now: float, *, was_ready: bool = True) -> Restarts:
    return state.crashed(now, was_ready=was_ready, chance=0.0)


def test_waits_double_from_one_second() -> None:
    state, waits = Restarts(), []
    for now in (0.0, 1000.0, 2000.0, 3000.0):
        state = crash(state, now)
        waits.append(state.not_before - now)
    assert waits == [1, 2, 4, 8]


def test_waits_end_at_sixty_seconds() -> None:
    state = Restarts()
    for now in range(0, 20_000, 1000):
        state = crash(state, float(now))
    assert state.not_before == 19_000 + 60


def test_four_crashes_without_ever_ready_end_it() -> None:
    state = Restarts()
    for now in range(3):
        state = crash(state, 1000.0 * now, was_ready=False)
    assert not state.given_up
    assert crash(state, 5000, was_ready=False).given_up
    assert not crash(state, 5000, was_ready=True).given_up
    assert not crash(state.ready(), 5000, was_ready=False).given_up


def test_five_crashes_in_ten_minutes_end_it_and_a_person_can_begin_anew() -> None:
    state = Restarts()
    for now in (0, 140, 280, 420):
        state = crash(state, now)
    assert not state.given_up
    assert crash(state, 599).given_up
    assert not crash(state, 601).given_up
    assert not crash(state, 599).may_start(1e9)
    assert crash(state, 599).healthy().may_start(0)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.booleans(), CHANCE), max_size=40))
def test_a_wait_is_between_one_and_sixty_seconds(steps: list[tuple[float, bool, float]]) -> None:
    state, now = Restarts(), 0.0
    for after, was_ready, chance in steps:
        now = max(now, state.not_before) + after
        state = state.crashed(now, was_ready=was_ready, chance=chance)
        assert 1 - 1e-6 <= state.not_before - now <= 60 + 1e-6  # rounding of the sum
        assert not state.may_start(now)
        assert state.may_start(state.not_before) is not state.given_up
