"""Aliases, and the nearest to one that is not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.match import Asked, RouteTable
from headrace.routing.route import Route, Rule, Variant


def _route(name: str, *aliases: str) -> Route:
    return Route(name=name, rule=Rule(models=aliases), variants=(Variant("d", 1),))


CHAT = _route("chat", "smollm2", "Qwen/Qwen3-8B")
TABLE = RouteTable([CHAT, _route("other", "smollm2")])


def test_an_alias_leads_to_the_first_route_that_claims_it() -> None:
    assert TABLE.find(Asked("smollm2")) == CHAT
    assert TABLE.find(Asked("SmolLM2")) is None
    assert TABLE.aliases == ["smollm2", "Qwen/Qwen3-8B"]


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("smolm2", "smollm2"),
        ("SMOLLM2", "smollm2"),
        ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
        ("x", None),
    ],
)
def test_the_nearest_alias(asked: str, nearest: str | None) -> None:
    assert TABLE.nearest(asked) == nearest


@given(st.text())
def test_any_name_has_an_answer(asked: str) -> None:
    assert TABLE.nearest(asked) in {None, *TABLE.aliases}
