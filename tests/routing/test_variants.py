"""Which variant serves: by weight, the same for one conversation, with little movement."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.route import Route, Rule, Shadow, Variant
from headrace.routing.variants import Variants, mirrored, shares

WEIGHTS = st.dictionaries(
    st.sampled_from("abcdef"), st.integers(0, 100), min_size=2, max_size=6
).filter(lambda weights: any(weights.values()))
IDENTITIES = [f"conversation {number}" for number in range(400)]


def route(weights: dict[str, float], **more: object) -> Route:
    variants = tuple(Variant(name, weight) for name, weight in weights.items())
    return Route(name="chat", rule=Rule(), variants=variants, **more)  # type: ignore[arg-type]


def picks(which: Route, identities: list[str], variants: Variants | None = None) -> dict[str, str]:
    variants = variants or Variants()
    return {one: variants.pick(which, one, 0.0).deployment for one in identities}


@pytest.mark.parametrize(
    ("chance", "deployment"),
    [(0.0, "a"), (0.0499, "a"), (0.05, "b"), (0.5, "b"), (0.999999999, "b")],
)
def test_a_draw_follows_the_weights(chance: float, deployment: str) -> None:
    canary = route({"a": 5, "b": 95, "off": 0})
    pick = Variants().pick(canary, None, chance)
    assert pick.deployment == deployment
    assert pick.why == ("weight 5 of 100" if deployment == "a" else "weight 95 of 100")


def test_without_stickiness_an_identity_does_not_count() -> None:
    free = route({"a": 1, "b": 1}, sticky="none")
    variants = Variants()
    assert [variants.pick(free, "x", chance).deployment for chance in (0.0, 0.9)] == ["a", "b"]


def test_what_the_pick_says_of_itself() -> None:
    variants = Variants()
    assert variants.pick(route({"a": 1}), "x", 0.0).why == "the route's only variant"
    assert variants.pick(route({"a": 1}), "x", 0.0).why == "the conversation kept its variant"
    by_key = route({"a": 1, "b": 1}, sticky="key")
    assert variants.pick(by_key, "team", 0.0).why == "weight 1 of 2"
    assert variants.pick(by_key, "team", 0.0).why == "the key kept its variant"


@given(weights=WEIGHTS, chance=st.floats(0, 1, exclude_max=True), identity=st.none() | st.text())
def test_a_weight_of_0_gets_nothing(
    weights: dict[str, float], chance: float, identity: str | None
) -> None:
    assert weights[Variants().pick(route(weights), identity, chance).deployment] > 0


@given(weights=WEIGHTS)
def test_shares_of_conversations_follow_the_weights(weights: dict[str, float]) -> None:
    found = Counter(picks(route(weights), IDENTITIES).values())
    expected = shares(route(weights))
    assert sum(expected.values()) == pytest.approx(1)
    # Binomial with n = 400: five standard deviations are at most 5 * sqrt(0.25 / 400) = 0.125.
    assert all(abs(found[name] / 400 - share) < 0.125 for name, share in expected.items())


def test_a_canary_of_5_percent_gets_5_percent() -> None:
    canary = route({"stable": 95, "quantized": 5})
    found = picks(canary, [str(number) for number in range(20_000)])
    # 1000 expected, a standard deviation of sqrt(20000 * 0.05 * 0.95) = 31.
    assert 1000 - 5 * 31 < Counter(found.values())["quantized"] < 1000 + 5 * 31


@given(before=WEIGHTS, after=WEIGHTS)
def test_a_conversation_keeps_its_variant_while_that_has_a_weight(
    before: dict[str, float], after: dict[str, float]
) -> None:
    variants = Variants()
    first = picks(route(before), IDENTITIES[:20], variants)
    second = picks(route(after), IDENTITIES[:20], variants)
    assert all(second[one] == first[one] for one in first if after.get(first[one], 0) > 0)


@given(weights=WEIGHTS)
def test_every_gateway_gives_the_same_answer(weights: dict[str, float]) -> None:
    backwards = dict(reversed(weights.items()))
    assert picks(route(weights), IDENTITIES) == picks(route(backwards), IDENTITIES)


@given(weights=WEIGHTS, name=st.sampled_from("abcdef"), more=st.integers(1, 100))
def test_without_memory_only_those_move_whose_variant_gained(
    weights: dict[str, float], name: str, more: int
) -> None:
    """Raising one weight moves conversations to that variant, and none between the others."""
    gained = {**weights, name: weights.get(name, 0) + more}
    first, second = picks(route(weights), IDENTITIES), picks(route(gained), IDENTITIES)
    assert {second[one] for one in IDENTITIES if first[one] != second[one]} <= {name}


def test_a_canary_forth_and_back_returns_those_that_were_moved() -> None:
    variants = Variants()
    stages = [{"old": 95, "new": 5}, {"old": 50, "new": 50}, {"old": 100, "new": 0}]
    seen = [picks(route(stage), IDENTITIES, variants) for stage in stages]
    assert all(
        later[one] == "new"
        for one in IDENTITIES
        for earlier, later in [seen[:2]]
        if earlier[one] == "new"
    )
    assert set(seen[2].values()) == {"old"}
    back = picks(route(stages[1]), IDENTITIES, variants)
    assert set(back.values()) == {"old"}  # all are remembered where they now are
    assert set(picks(route(stages[1]), ["a new one", *map(str, range(20))], variants).values()) == {
        "old",
        "new",
    }


def test_a_conversation_that_began_before_the_second_variant_stays() -> None:
    variants = Variants()
    variants.pick(route({"old": 1}), "early", 0.0)
    moved = route({"old": 1, "new": 1_000_000})
    assert variants.pick(moved, "early", 0.0).deployment == "old"
    assert variants.pick(moved, "late", 0.0).deployment == "new"


def test_the_memory_is_bounded_and_forgets_the_longest_unused() -> None:
    variants = Variants(remembered=3)
    even = route({"old": 1})
    for one in ("a", "b", "c", "a", "d"):  # b is the longest unused when d comes
        variants.pick(even, one, 0.0)
    away = route({"old": 1, "new": 1_000_000})
    assert [variants.pick(away, one, 0.0).deployment for one in ("a", "c", "d")] == ["old"] * 3
    assert variants.pick(away, "b", 0.0).deployment == "new"
    assert len(variants._kept) == 3


def test_two_routes_pick_independently() -> None:
    one, other = route({"a": 1, "b": 1}), route({"a": 1, "b": 1})
    other = Route(name="other", rule=Rule(), variants=other.variants)
    same = sum(picks(one, [identity]) == picks(other, [identity]) for identity in IDENTITIES)
    # Independent halves agree half the time: 200 of 400, a standard deviation of 10.
    assert 150 < same < 250


@given(share=st.floats(0.01, 1), seed=st.integers())
def test_a_shadow_gets_its_share(share: float, seed: int) -> None:
    shadowed = route({"a": 1}, shadow=Shadow("copy", share))
    draw = random.Random(seed)
    got = [mirrored(shadowed, draw.random()) for _ in range(400)]
    assert set(got) <= {"copy", None}
    assert abs(got.count("copy") / 400 - share) < 0.15
    assert mirrored(route({"a": 1}), 0.0) is None


def test_more_weight_never_loses_a_conversation() -> None:
    growing = [picks(route({"old": 100, "new": new}), IDENTITIES) for new in (0, 5, 50, 500)]
    for before, after in pairwise(growing):
        assert all(after[one] == "new" for one in IDENTITIES if before[one] == "new")
