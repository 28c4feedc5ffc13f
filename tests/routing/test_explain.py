"""What `headrace route` asks: the answer is that of the policies which run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.explain import explain
from headrace.routing.match import Asked, RouteTable
from headrace.routing.overflow import Fit
from headrace.routing.route import Overflow, Range, Route, Rule, Variant
from headrace.routing.variants import Variants

LONG = Route(
    name="long", rule=Rule(models=("x",), prompt=Range(1000)), variants=(Variant("big", 1),)
)
CHAT = Route(
    name="chat",
    rule=Rule(models=("x", "y")),
    variants=(Variant("small", 1), Variant("smaller", 1)),
    overflow=(Overflow("big", ("context",)),),
)
CONTEXTS = {"small": 800, "smaller": 800, "big": None}
WHO = {"conversation": "c", "key": None}


def test_what_it_passes_by_and_what_takes_it() -> None:
    found = explain([LONG, CHAT], Asked("x", prompt_tokens=10), WHO, CONTEXTS)
    assert [(one.route, one.because) for one in found.passed] == [
        ("long", ("the prompt has about 10 tokens, not at least 1000",))
    ]
    assert found.taken is not None
    assert (found.taken.route, found.taken.rule) == (CHAT, ("model",))
    assert found.taken.pick == Variants().pick(CHAT, "c", 0.0)
    assert found.taken.fits == {"small": Fit.YES, "smaller": Fit.YES, "big": Fit.YES}
    assert found.taken.landing is not None
    assert found.taken.landing.deployment == found.taken.pick.deployment
    assert found.otherwise == ()


def test_a_prompt_that_does_not_fit_overflows() -> None:
    found = explain([LONG, CHAT], Asked("y", prompt_tokens=900), WHO, CONTEXTS)
    assert found.taken is not None
    assert found.taken.landing is not None
    assert (found.taken.landing.deployment, found.taken.landing.cause) == ("big", "context")


def test_without_an_identity_there_is_no_pick() -> None:
    found = explain([CHAT], Asked("x"), {"conversation": None}, CONTEXTS)
    assert found.taken is not None
    assert (found.taken.pick, found.taken.landing) == (None, None)


def test_nothing_takes_it() -> None:
    found = explain([LONG, CHAT], Asked("z"), WHO, CONTEXTS)
    assert found.taken is None
    assert [one.because[0] for one in found.passed] == [
        "model is z, not x",
        "model is z, not x or y",
    ]


def test_an_estimate_near_a_bound_names_the_other_route() -> None:
    near = explain([LONG, CHAT], Asked("x", prompt_tokens=900), WHO, CONTEXTS, margin=0.2)
    assert near.otherwise == ((1000, "long"),)
    narrow = Route(name="n", rule=Rule(prompt=Range(910, 920)), variants=(Variant("big", 1),))
    inside = explain([narrow, CHAT], Asked("x", prompt_tokens=900), WHO, CONTEXTS, margin=0.2)
    assert inside.otherwise == ((910, "n"),)
    alone = explain([narrow], Asked("x", prompt_tokens=915), WHO, CONTEXTS, margin=0.01)
    assert alone.otherwise == ((906, None),)


@given(
    model=st.sampled_from("xyz"),
    tokens=st.integers(0, 2000),
    margin=st.sampled_from([0.0, 0.1, 0.3]),
)
def test_it_agrees_with_the_table(model: str, tokens: int, margin: float) -> None:
    asked = Asked(model, prompt_tokens=tokens)
    found = explain([LONG, CHAT], asked, WHO, CONTEXTS, margin)
    route = RouteTable([LONG, CHAT]).find(asked)
    assert (found.taken.route if found.taken else None) is route
    # Only x can go two ways, and only where 1000 tokens are within the error.
    error = int(tokens * margin)
    uncertain = model == "x" and tokens - error < 1000 <= tokens + error
    assert bool(found.otherwise) is uncertain
