"""When a request leaves its deployment, and that it lands only where it can be served."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.overflow import Fit, Landing, Needs, State, fit, land
from headrace.routing.route import Cause, Overflow, Route, Rule, Variant

READY = State(ready=True, wait=0.0, context=8192)
NEEDS = Needs(prompt=100, output=100)
ALL: tuple[Cause, ...] = get_args(Cause)


def route(*overflow: Overflow) -> Route:
    return Route(name="r", rule=Rule(), variants=(Variant("own", 1),), overflow=overflow)


def landing(
    own: State, needs: Needs = NEEDS, *, when: tuple[Cause, ...] = ALL, target: State = READY
) -> Landing:
    return land(route(Overflow("spare", when)), "own", {"own": own, "spare": target}, needs)


def state(
    *, ready: bool = True, starting: bool = False, wait: float | None = 0.0,
    context: int | None = 8192, down: bool = False,
) -> State:  # fmt: skip
    return State(ready, starting, wait, context, down)


@pytest.mark.parametrize(
    ("own", "needs", "cause", "why"),
    [
        (state(), NEEDS, None, ""),
        (state(wait=10.0), NEEDS, None, ""),  # after is 10 s
        (state(wait=11.0), NEEDS, "queue", "own would take 11 s to begin, longer than 10 s"),
        (state(wait=6.0), Needs(100, waited=5.0), "queue", "own would take 11 s"),
        (state(wait=None), NEEDS, None, ""),
        (state(wait=None), Needs(100, waited=10.5), "queue", "own would take 10 s"),
        (state(ready=False, wait=None), NEEDS, "cold", "own has no replica"),
        (state(ready=False, starting=True, wait=40.0), NEEDS, "cold", "own has no ready replica yet"),
        (state(ready=False, down=True, wait=None), NEEDS, "down", "own is down"),
        (state(ready=False, wait=None), Needs(100, broke=True), "down", "own has no ready replica left: the one that had it broke"),
        (state(), Needs(100, broke=True), None, ""),  # another replica of its own is there
        (state(context=199), NEEDS, "context", "own cannot fit 100 tokens of prompt and 100 of the answer in its context of 199"),
        (state(context=200), NEEDS, None, ""),
        (state(context=100), Needs(100), "context", "own cannot fit 100 tokens of prompt and the answer in its context of 100"),
        (state(context=101), Needs(100), None, ""),  # room for one token
        (state(context=None), Needs(10**9), None, ""),
        (state(context=205), Needs(100, 100, margin=0.1), "context", "own may not fit about 100"),
        (state(context=210), Needs(100, 100, margin=0.1), None, ""),
    ],
)  # fmt: skip
def test_what_makes_a_request_leave(
    own: State, needs: Needs, cause: Cause | None, why: str
) -> None:
    found = landing(own, needs)
    assert found.cause == cause
    assert found.deployment == ("own" if cause is None else "spare")
    assert found.why.startswith(why)
    assert bool(found.why) is (cause is not None)


@pytest.mark.parametrize(
    ("own", "allowed"),
    [
        (state(wait=11.0), "queue"),
        (state(ready=False, wait=None), "cold"),
        (state(context=50), "context"),
        (state(ready=False, down=True), "down"),
    ],
)
def test_a_cause_that_the_route_does_not_name_moves_nothing(own: State, allowed: Cause) -> None:
    others = tuple(cause for cause in ALL if cause != allowed)
    assert landing(own, when=others) == Landing("own")
    assert landing(own, when=(allowed,)).cause == allowed


@pytest.mark.parametrize(
    ("own", "target"),
    [
        (state(wait=20.0), state(wait=20.0)),  # no sooner there
        (state(wait=20.0), state(wait=None)),  # nobody knows
        (state(wait=20.0), state(ready=False, starting=True, wait=1.0)),
        (state(wait=20.0), state(down=True)),
        (state(wait=20.0), state(context=199)),
        (state(ready=False, starting=True, wait=2.0), state(wait=30.0)),  # ready sooner than there
        (state(context=100), state(context=100)),
        (state(ready=False, down=True), state(ready=False, wait=None)),
    ],
)
def test_a_target_that_serves_no_better_gets_nothing(own: State, target: State) -> None:
    assert landing(own, target=target) == Landing("own")


def test_the_first_that_can_serve_gets_it() -> None:
    way = route(
        Overflow("small", ("queue",), after=5), Overflow("big", ("cold", "queue"), after=60)
    )
    states = {"own": state(wait=30.0), "small": state(wait=1.0), "big": state()}
    assert land(way, "own", states, NEEDS).deployment == "small"
    states["small"] = state(ready=False)
    assert land(way, "own", states, NEEDS).deployment == "own"  # 30 s are not over 60 s
    states["own"] = state(wait=61.0)
    assert land(way, "own", states, NEEDS) == Landing(
        "big", "queue", "own would take 61 s to begin, longer than 60 s"
    )


def test_an_uncertain_estimate_leaves_only_for_a_surer_place() -> None:
    """With 1000 tokens give or take 100, 1050 perhaps fit; 950 perhaps, 850 do not, 1100 do."""
    needs = Needs(prompt=1000, output=0, margin=0.1)
    fits = [fit(needs, context) for context in (850, 900, 1050, 1099, 1100, None)]
    assert fits == [Fit.NO, Fit.PERHAPS, Fit.PERHAPS, Fit.PERHAPS, Fit.YES, Fit.YES]
    assert landing(state(context=1050), needs, target=state(context=1060)).cause is None
    assert landing(state(context=1050), needs, target=state(context=2000)).cause == "context"
    assert landing(state(context=850), needs, target=state(context=1060)).cause == "context"
    # Not for a shorter queue where it fits less surely either.
    assert landing(state(wait=60.0), needs, target=state(context=1060)).cause is None


def test_one_that_fled_comes_home_once_when_its_refuge_is_down() -> None:
    way = route(Overflow("spare", ("cold",)))
    states = {"own": READY, "spare": state(ready=False, wait=None)}
    broke = Needs(100, broke=True)
    home = land(way, "spare", states, broke, left=("own",))
    assert (home.deployment, home.cause) == ("own", "down")
    assert land(
        way, "spare", {"own": READY, "spare": state(wait=99.0)}, NEEDS, ("own",)
    ) == Landing("spare")
    assert land(way, "spare", states, broke, left=("own", "spare", "own")) == Landing("spare")


def test_it_never_goes_back_to_what_it_left() -> None:
    way = route(Overflow("b", ("queue",)), Overflow("c", ("queue",)))
    states = {"own": state(wait=99.0), "b": state(wait=50.0), "c": state(wait=20.0)}
    assert land(way, "own", states, NEEDS).deployment == "b"
    assert land(way, "b", states, NEEDS, ("own",)).deployment == "c"
    states["b"] = state()
    assert land(way, "c", states, NEEDS, ("own", "b")) == Landing("c")


NAMES = ("own", "b", "c", "d")
STATES = st.builds(
    State,
    st.booleans(),
    st.booleans(),
    st.none() | st.floats(0, 100),
    st.none() | st.integers(0, 1000),
    st.booleans(),
)
FLEETS = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, STATES))
OVERFLOWS = st.lists(
    st.builds(
        Overflow,
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple),
        st.floats(0, 50),
    ),
    max_size=5,
)
WISHES = st.builds(
    Needs,
    st.integers(0, 1500),
    st.none() | st.integers(0, 500),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.floats(0, 100),
    st.booleans(),
)


@given(overflows=OVERFLOWS, states=FLEETS, needs=WISHES)
def test_it_lands_only_where_it_is_allowed_and_can_be_served(
    overflows: list[Overflow], states: dict[str, State], needs: Needs
) -> None:
    found = land(route(*overflows), "own", states, needs)
    if found.cause is None:
        assert found == Landing("own")
        return
    assert any(found.deployment == one.deployment and found.cause in one.when for one in overflows)
    target, output = states[found.deployment], 1 if needs.output is None else needs.output
    assert target.ready
    assert not target.down
    assert (
        target.context is None
        or needs.prompt - int(needs.prompt * needs.margin) + output <= target.context
    )
    own = states.get("own")
    if own is not None and found.cause == "queue":
        assert own.ready
        assert target.wait is not None
        assert own.wait is None or target.wait < own.wait


@given(overflows=OVERFLOWS, fleets=st.lists(FLEETS, min_size=12, max_size=12), needs=WISHES)
def test_whatever_happens_a_request_does_not_go_in_circles(
    overflows: list[Overflow], fleets: list[dict[str, State]], needs: Needs
) -> None:
    way, current, left = route(*overflows), "own", ()
    for states in fleets:
        found = land(way, current, states, needs, left)
        if found.cause is not None:
            left, current = (*left, current), found.deployment
    visited = (*left, current)
    assert visited.count("own") <= 2
    assert all(visited.count(name) <= 1 for name in NAMES[1:])
