"""What an edit changes, in the words that `headrace reload` and `headrace rollout` print."""

from typing import Any

import pytest

from headrace.fleet.routes import Route
from headrace.local.differences import differences, routes


def route(**fields: Any) -> Route:
    return Route.model_validate({"match": {"model": ["chat"]}, "deployment": "a", **fields})


def variants(**weights: float) -> Route:
    shares = [{"deployment": name, "weight": weight} for name, weight in weights.items()]
    return route(deployment=None, variants=shares)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (route(), route(), []),
        (route(), route(deployment="b"), ["route chat: deployment a -> b"]),
        (
            variants(small=95, canary=5),
            variants(small=50, canary=50),
            ["route chat: variants small 95 -> 50, canary 5 -> 50"],
        ),
        (variants(small=95, canary=5), variants(canary=5, small=95), []),
        (
            route(deployment="small"),
            variants(small=95, canary=5),
            ["route chat: variants small all -> 95, canary none -> 5"],
        ),
        (
            variants(small=95, canary=5),
            route(deployment="canary"),
            ["route chat: variants small 95 -> none, canary 5 -> all"],
        ),
        (
            route(),
            route(priority="low", match={"model": ["chat", "talk"], "stream": True}),
            [
                (
                    "route chat: match.model [chat] -> [chat, talk]; match.stream none -> true; "
                    "priority normal -> low"
                )
            ],
        ),
        (
            route(limits=[{"tokens_per_minute": 1000}]),
            route(limits=[{"tokens_per_minute": 2000}, {"per": "key", "concurrency": 2}]),
            [
                (
                    "route chat: limits.0.tokens_per_minute 1000 -> 2000; "
                    "limits.1 none -> {per: key, concurrency: 2, mode: enforce}"
                )
            ],
        ),
        (
            route(overflow=[{"deployment": "b", "when": ["queue"], "after": "1500ms"}]),
            route(shadow={"deployment": "b", "share": 0.1}),
            [
                (
                    "route chat: shadow none -> {deployment: b, share: 0.1}; "
                    "overflow.0 {deployment: b, when: [queue], after: 1.5} -> none"
                )
            ],
        ),
        (
            route(queue={"max_wait": "2m"}),
            route(queue={"max_wait": "1m", "limit": 8}),
            ["route chat: queue.limit none -> 8; queue.max_wait 120 -> 60"],
        ),
    ],
)
def test_a_routes_change_is_said_in_its_own_words(
    old: Route, new: Route, expected: list[str]
) -> None:
    assert list(routes({"chat": old}, {"chat": new})) == expected


def test_new_and_gone_routes_and_another_order() -> None:
    old, new = (
        {"a": route(), "b": route(), "c": route()},
        {"b": route(), "a": route(), "d": route()},
    )
    assert list(routes(old, new)) == [
        "route c: removed",
        "route d: added",
        "routes: order a, b -> b, a",
    ]


def test_values_that_may_be_secret_are_not_said() -> None:
    old = {"engine": {"env": {"A": "hunter2"}}, "traces": {"endpoint": "http://u:hunter2@x"}}
    new = {"engine": {"env": {"A": "hunter3"}}, "traces": {"endpoint": "http://u:hunter3@x"}}
    found = [str(one) for one in differences(old, new)]
    assert found == ["engine.env.A", "traces.endpoint"]


def test_a_whole_part_that_holds_a_secret_is_not_said_either() -> None:
    found = [str(one) for one in differences({"traces": None}, {"traces": {"endpoint": "hunter2"}})]
    assert found == ["traces"]
