"""Whose use a request is, and what callers are told of limits."""

from __future__ import annotations

import pytest

from headrace.gateway.control import Key
from headrace.gateway.limiting import headers, refusal, subjects
from headrace.routing.allowance import Excess, Left, What
from headrace.routing.route import Limits, Route, Rule, Variant


def route(*limits: Limits) -> Route:
    return Route(name="chat", rule=Rule(), variants=(Variant("d", 1),), limits=limits)


OWN = Limits(requests_per_minute=7)
KEY = Key(name="search", digest="", tenant="acme", limits=OWN)


def names(route: Route, key: Key | None) -> list[tuple[str, Limits | None, str]]:
    return [(s.name, s.limits, s.row) for s in subjects(route, key)]


def test_a_request_is_its_routes_its_keys_and_its_tenants() -> None:
    assert names(route(), None) == [("route chat", None, "")]
    assert names(route(), KEY) == [
        ("route chat", None, ""),
        ("key search", OWN, "key search"),
        ("tenant acme", None, ""),
    ]


@pytest.mark.parametrize(
    ("per", "key", "name"),
    [
        ("route", KEY, "route chat"),
        ("key", KEY, "route chat, key search"),
        ("tenant", KEY, "route chat, tenant acme"),
        ("key", None, "route chat, no key"),
        ("tenant", None, "route chat, no key"),
        ("tenant", Key(name="solo", digest=""), "route chat, tenant of key solo"),
    ],
)
def test_limits_per_route_key_and_tenant(per: str, key: Key | None, name: str) -> None:
    limits = Limits(per=per, concurrency=1)  # type: ignore[arg-type]  # of the table above
    assert names(route(limits), key)[-1] == (name, limits, name)


def test_a_second_set_of_limits_has_books_of_its_own() -> None:
    enforced, tried = Limits(concurrency=9), Limits(concurrency=5, enforce=False)
    assert names(route(enforced, tried), None)[1:] == [
        ("route chat", enforced, "route chat"),
        ("route chat", tried, "route chat #2"),
    ]


def excess(what: What, *, permanent: bool = False, retry_after: float = 0.0) -> Excess:
    return Excess(
        subject="key search", what=what, limit=10, asked=11, permanent=permanent,
        retry_after=retry_after,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "status", "kind", "retry_after", "message"),
    [
        (
            excess("requests per minute", retry_after=2.1), 429, "request_rate_limit", 3,
            "The limit of key search is 10 requests per minute, and it is used up. Retry after 3 s.",
        ),
        (
            excess("tokens per minute", retry_after=60.0), 429, "token_rate_limit", 60,
            "The limit of key search is 10 tokens per minute, and it is used up. Retry after 60 s.",
        ),
        (
            excess("requests at once", retry_after=0.5), 429, "concurrency_limit", 1,
            "The limit of key search is 10 requests at once, and it is used up. Retry after 1 s.",
        ),
        (
            excess("tokens of a prompt", permanent=True), 400, "prompt_limit", None,
            "The limit of key search is 10 tokens of a prompt, and this request has a prompt of about 11: shorten it.",
        ),
        (
            excess("tokens per minute", permanent=True), 400, "token_rate_limit", None,
            "The limit of key search is 10 tokens per minute, and this request has a prompt of about 11: shorten it.",
        ),
        (
            excess("tokens of an answer", permanent=True), 400, "output_limit", None,
            "The limit of key search is 10 tokens of an answer, and this request has a max_tokens of 11: lower it.",
        ),
    ],
)  # fmt: skip
def test_refusals_say_what_where_and_what_to_do(
    found: Excess, status: int, kind: str, retry_after: int | None, message: str
) -> None:
    failure = refusal(found)
    assert (failure.status, failure.kind, failure.retry_after) == (status, kind, retry_after)
    assert failure.message == message


def test_headers_are_openais() -> None:
    assert headers(Left(60, 59, 1.0), Left(40_000, 0, 75.25)) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"1s"),
        (b"x-ratelimit-limit-tokens", b"40000"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"1m15.25s"),
    ]
    assert headers(None, None) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, b"0ms"),
        (0.0061, b"7ms"),
        (1.0, b"1s"),
        (59.9999, b"1m0s"),
        (360.0, b"6m0s"),
        (20.0, b"20s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, shown: bytes) -> None:
    assert headers(Left(1, 1, seconds), None)[2][1] == shown
