"""Limits as requests meet them: whose use a request is, and what it is told when that is too much.

`subjects` lists whose: its route's, its key's, its tenant's. `ledger.py` keeps their books;
`headrace.routing.allowance` judges. Here the judgement becomes an error, and headers that OpenAI's
clients know.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from headrace.gateway.control import Key
from headrace.gateway.errors import INVALID, Failure
from headrace.routing.allowance import Excess, Left, Subject, What
from headrace.routing.route import Limits, Route

_KINDS: dict[What, str] = {
    "requests per minute": "request_rate_limit",
    "tokens per minute": "token_rate_limit",
    "requests at once": "concurrency_limit",
    "tokens of a prompt": "prompt_limit",
    "tokens of an answer": "output_limit",
}
_REQUESTS, _TOKENS = (
    [b"x-ratelimit-%b-%b" % (field, unit) for field in (b"limit", b"remaining", b"reset")]
    for unit in (b"requests", b"tokens")
)


def subjects(route: Route, key: Key | None) -> tuple[Subject, ...]:
    """Return whose use a request on a route is, with the limits that hold for it.

    Where a route limits each key or tenant, callers without a key are one together, and a key
    without a tenant is a tenant by itself.
    """
    found = [Subject(f"route {route.name}")]
    if key is not None:
        found.append(Subject(f"key {key.name}", key.limits, f"key {key.name}"))
        if key.tenant is not None:
            found.append(Subject(f"tenant {key.tenant}"))
    if route.limits:
        found.extend(_limited(route, key))
    return tuple(found)


def _limited(route: Route, key: Key | None) -> Iterable[Subject]:
    """Yield the route's own subjects, each with a row of its own though their names be the same."""
    seen: list[str] = []
    for limits in route.limits:
        name = f"route {route.name}{_whose(limits, key)}"
        seen.append(name)
        row = f"{name} #{seen.count(name)}" if name in seen[:-1] else name
        yield Subject(name, limits, row)


def _whose(limits: Limits, key: Key | None) -> str:
    if limits.per == "route":
        return ""
    if key is None:
        return ", no key"
    if limits.per == "key":
        return f", key {key.name}"
    return f", tenant {key.tenant}" if key.tenant else f", tenant of key {key.name}"


def refusal(excess: Excess) -> Failure:
    """Return what the caller is told: 400 where no waiting helps, else 429 with Retry-After."""
    message = f"The limit of {excess.subject} is {excess.limit} {excess.what}"
    if excess.permanent:
        message += f", and this request has {_size(excess)}."
        param = "max_tokens" if excess.what == "tokens of an answer" else None
        return Failure(
            status=400, kind=_KINDS[excess.what], message=message, type=INVALID, param=param
        )
    seconds = max(1, math.ceil(excess.retry_after))
    return Failure(
        status=429, kind=_KINDS[excess.what], type="rate_limit_error", retry_after=seconds,
        message=f"{message}, and it is used up. Retry after {seconds} s.",
    )  # fmt: skip


def _size(excess: Excess) -> str:
    if excess.what == "tokens of an answer":
        return f"a max_tokens of {excess.asked}: lower it"
    return f"a prompt of about {excess.asked}: shorten it"


def headers(requests: Left | None, tokens: Left | None) -> list[tuple[bytes, bytes]]:
    """Return `x-ratelimit-*` as OpenAI's API has them, of the subject that has least left."""
    found: list[tuple[bytes, bytes]] = []
    for (limit, remaining, reset), left in ((_REQUESTS, requests), (_TOKENS, tokens)):
        if left is not None:
            found += [
                (limit, b"%d" % left.limit),
                (remaining, b"%d" % left.remaining),
                (reset, _duration(left.reset)),
            ]
    return found


def _duration(seconds: float) -> bytes:
    """Return a time as OpenAI writes it: `120ms`, `6.5s`, `1m0s`."""
    if seconds < 1.0:
        return b"%dms" % math.ceil(seconds * 1000)
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    return (
        f"{f'{minutes:.0f}m' if minutes else ''}{rest:.3f}".rstrip("0").rstrip(".").encode() + b"s"
    )
