"""A route as the policies see it: whose requests it takes, and what may become of them.

`from_fleet.py` makes routes from a fleet file, `match.py` finds one for a request, `variants.py`
the deployment. The gateway is sent these very types, so that what is decided offline
(`headrace route`) is what runs.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Cause = Literal["queue", "cold", "context", "down"]
"""Why a request overflows: the wait is too long, no replica is ready, it does not fit in the
context, the deployment does not start or its replicas broke."""
Priority = Literal["high", "normal", "low"]
WEIGHTS: dict[Priority, int] = {"high": 16, "normal": 4, "low": 1}
"""Shares of a deployment's token work while requests of all priorities wait."""


class Range(msgspec.Struct, frozen=True):
    """Bounds on a count of tokens, both included."""

    least: int | None = None
    most: int | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What a request must look like; an empty tuple or None asks for nothing.

    `headers` are (lower-case name, values); without values the header only has to be there.
    """

    models: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    keys: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    prompt: Range | None = None
    output: Range | None = None
    stream: bool | None = None


class Variant(msgspec.Struct, frozen=True):
    """A deployment and its weight among the route's variants."""

    deployment: str
    weight: float


class Shadow(msgspec.Struct, frozen=True):
    """A deployment that gets copies of this share (0 to 1) of the route's requests."""

    deployment: str
    share: float


class Overflow(msgspec.Struct, frozen=True):
    """Where requests may go for any of these causes; `after` in seconds of expected wait."""

    deployment: str
    when: tuple[Cause, ...]
    after: float = 10.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a route, or each key or tenant on it, may use; counts of requests and tokens.

    Without `enforce` excess is only noted.
    """

    per: Literal["route", "key", "tenant"] = "route"
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    max_prompt: int | None = None
    max_output: int | None = None
    enforce: bool = True


class Slo(msgspec.Struct, frozen=True):
    """Seconds promised at the 95th percentile; None: nothing is."""

    ttft: float | None = None
    tpot: float | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that `rule` describes go to one of `variants` (at least one).

    `continuation` says how a broken stream goes on elsewhere: from its text, from its token ids
    (`exact`), or not at all. A stream that was silent for `silence` seconds after its first token
    counts as broken. `queue_limit` and `max_wait` (seconds) are None where the deployment's count.
    """

    name: str
    rule: Rule
    variants: tuple[Variant, ...]
    sticky: Literal["conversation", "key", "none"] = "conversation"
    shadow: Shadow | None = None
    overflow: tuple[Overflow, ...] = ()
    priority: Priority = "normal"
    limits: tuple[Limits, ...] = ()
    queue_limit: int | None = None
    max_wait: float | None = None
    record_prompts: bool = False
    record_answers: bool = False
    slo: Slo = Slo()
    continuation: Literal["text", "exact", "off"] = "text"
    silence: float = 30.0

    @property
    def deployments(self) -> tuple[str, ...]:
        """Every deployment that its requests can reach, the shadow included."""
        names = [variant.deployment for variant in self.variants]
        names += [one.deployment for one in self.overflow]
        names += [self.shadow.deployment] if self.shadow else []
        return tuple(dict.fromkeys(names))
