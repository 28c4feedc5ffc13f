"""Whether a key, a route, or a key on a route may have one more request, and until when not.

Subjects are judged one by one, from what is known of their use (`Account`); all of them must agree.
Where that is kept, and by whom it is shared, is not known here: `ledger/ledger.py` keeps it in a
file for all gateways of a fleet. One that is only counted (`enforce: false`) is judged as if it
were enforced, so that its notes are the refusals it would have made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from headrace.routing.buckets import Bucket
from headrace.routing.route import Limits

What = Literal[
    "requests per minute",
    "tokens per minute",
    "requests at once",
    "tokens of a prompt",
    "tokens of an answer",
]
SOON = 1.0
"""Seconds after which a refusal for requests at once says to come back: nobody knows their ends."""


class Subject(msgspec.Struct, frozen=True):
    """Whose use is counted, such as `key search-team`, and what it may use; None: it is counted.

    `row` is its name in the books; it is another one where a subject has a second set of limits.
    """

    name: str
    limits: Limits | None = None
    row: str = ""

    @property
    def remembers(self) -> bool:
        """Whether earlier requests count, so that books must be kept."""
        limits = self.limits
        return limits is not None and not (
            limits.requests_per_minute is None
            and limits.tokens_per_minute is None
            and limits.concurrency is None
        )


class Account(NamedTuple):
    """What a subject has used; `running` requests are its own at present, in all gateways."""

    requests: Bucket = Bucket()
    tokens: Bucket = Bucket()
    running: int = 0

    def ahead(self, now: float) -> bool:
        """Whether the clock was set back since; charged with nothing, it goes on from `now`."""
        return self.requests.ahead(now) or self.tokens.ahead(now)

    def in_use(self, limits: Limits, now: float) -> tuple[float, float]:
        """Return the requests and tokens of the limits per minute that are used; 0: no limit."""
        most, much = limits.requests_per_minute, limits.tokens_per_minute
        return (
            self.requests.in_use(most, now) if most is not None else 0.0,
            self.tokens.in_use(much, now) if much is not None else 0.0,
        )

    def charged(self, limits: Limits, requests: float, tokens: float, now: float) -> Account:
        """Return the account with requests and tokens taken out, where they are limited."""
        ours, theirs = self.requests, self.tokens
        most, much = limits.requests_per_minute, limits.tokens_per_minute
        if most is not None and (requests or ours.ahead(now)):
            ours = ours.charged(most, requests, now)
        if much is not None and (tokens or theirs.ahead(now)):
            theirs = theirs.charged(much, tokens, now)
        return Account(ours, theirs, self.running)


class Ask(NamedTuple):
    """A request as limits see it, at the Unix time `now`.

    `prompt` and `output` (the longest answer that was asked for, if any was) are in tokens.
    """

    prompt: int
    output: int | None
    now: float


class Excess(msgspec.Struct, frozen=True, kw_only=True):
    """What is beyond which limit. `asked` is what the request wants, of the same unit as `limit`.

    After `retry_after` seconds the subject would have room for it; never, if it is `permanent`.
    """

    subject: str
    what: What
    limit: int
    asked: int
    retry_after: float = 0.0
    permanent: bool = False

    @property
    def note(self) -> str:
        """What records say where it is only counted."""
        return f"{self.subject}: {self.what} {self.limit} exceeded (count only)"


def excess(subject: Subject, account: Account, ask: Ask) -> Excess | None:
    """Return why the subject may not have this request, or None.

    Of several reasons it is the one that lasts longest.
    """
    limits = subject.limits
    if limits is None:
        return None
    found = _too_large(subject.name, limits, ask)
    return found or _too_soon(subject.name, limits, account, ask)


def _too_large(name: str, limits: Limits, ask: Ask) -> Excess | None:
    prompt, output, _ = ask
    what: What
    if limits.max_prompt is not None and prompt > limits.max_prompt:
        what, limit, asked = "tokens of a prompt", limits.max_prompt, prompt
    elif limits.tokens_per_minute is not None and prompt > limits.tokens_per_minute:
        what, limit, asked = "tokens per minute", limits.tokens_per_minute, prompt
    elif limits.max_output is not None and output is not None and output > limits.max_output:
        what, limit, asked = "tokens of an answer", limits.max_output, output
    else:
        return None
    return Excess(subject=name, what=what, limit=limit, asked=asked, permanent=True)


def _too_soon(name: str, limits: Limits, account: Account, ask: Ask) -> Excess | None:
    prompt, _, now = ask
    waits: list[tuple[float, What, int, int]] = []
    if (most := limits.requests_per_minute) and (wait := account.requests.wait(most, 1, now)):
        waits.append((wait, "requests per minute", most, 1))
    if (most := limits.tokens_per_minute) and (wait := account.tokens.wait(most, prompt, now)):
        waits.append((wait, "tokens per minute", most, prompt))
    if (most := limits.concurrency) is not None and account.running >= most:
        waits.append((SOON, "requests at once", most, 1))
    if not waits:
        return None
    wait, what, limit, asked = max(waits)
    return Excess(subject=name, what=what, limit=limit, asked=asked, retry_after=wait)


class Left(NamedTuple):
    """What the tightest subject has left of `limit` per minute; full again in `reset` seconds."""

    limit: int
    remaining: int
    reset: float


def least_left(
    accounts: Iterable[tuple[Limits, Account]], now: float
) -> tuple[Left | None, Left | None]:
    """Return what is left of requests and of tokens where least is, of what is enforced."""
    requests, tokens = [], []
    for limits, account in accounts:
        if limits.enforce and (most := limits.requests_per_minute) is not None:
            requests.append(_left(account.requests, most, now))
        if limits.enforce and (most := limits.tokens_per_minute) is not None:
            tokens.append(_left(account.tokens, most, now))
    return _least(requests), _least(tokens)


def _left(bucket: Bucket, limit: int, now: float) -> Left:
    return Left(limit, *bucket.left(limit, now))


def _least(found: list[Left]) -> Left | None:
    if len(found) <= 1:
        return found[0] if found else None
    return min(found, key=lambda left: left.remaining)
