"""What a fleet file may say of routes: which requests are whose, and what becomes of them.

A part of `types.py`; `headrace.routing` decides by these rules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from headrace.fleet.base import Name, Strict
from headrace.fleet.units import Duration


class Range(Strict):
    """Bounds on a count of tokens, both included."""

    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)


class Match(Strict):
    """What a request must look like to take a route: all that is said here must hold."""

    model: tuple[str, ...] = Field(
        default=(), description="Values of the request's model field; none: any."
    )
    path: tuple[str, ...] = Field(default=(), description="Such as /v1/chat/completions.")
    headers: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Values of a header; none: it only has to be there."
    )
    key: tuple[str, ...] = Field(default=(), description="Names of API keys.")
    tenant: tuple[str, ...] = Field(default=(), description="Tenants of API keys.")
    prompt_tokens: Range | None = Field(
        default=None, description="Estimated; near a bound the engine is asked."
    )
    max_tokens: Range | None = Field(
        default=None, description="The answer's bound; a request without one has no upper bound."
    )
    stream: bool | None = None


class Slo(Strict):
    """What the route promises, at the 95th percentile."""

    ttft: Duration | None = Field(default=None, description="Time to first token.")
    tpot: Duration | None = Field(
        default=None, description="Time per output token after the first."
    )


class Variant(Strict):
    """One of several deployments that share a route's requests."""

    deployment: Name
    weight: float = Field(ge=0, le=1_000_000, description="Its share is weight by sum of weights.")


class Shadow(Strict):
    """A deployment that gets copies of requests; its answers are measured and thrown away."""

    deployment: Name
    share: float = Field(gt=0, le=1, description="Of the route's requests.")


Workload = Literal["interactive", "batch", "long-context"]
"""What the people behind a route wait for; a plan takes promises that are not made from it."""


class Lengths(Strict):
    """How long texts are: half of them at most `p50` tokens, all but one in a hundred `p99`."""

    p50: int = Field(ge=1, le=10_000_000)
    p99: int = Field(ge=1, le=10_000_000)


class Traffic(Strict):
    """What a route expects to be asked; only plans are made from it."""

    trace: Path | None = Field(
        default=None,
        description="A recorded one, beside this file; it has its own rate and lengths.",
    )
    rate: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Requests a second; with a trace: instead of its own.",
    )
    prompt: Lengths | None = Field(default=None, description="Tokens of prompts.")
    output: Lengths | None = Field(default=None, description="Tokens of answers.")


Cause = Literal["queue", "cold", "context", "down"]


class Overflow(Strict):
    """Where requests may go when their own deployment cannot serve them well."""

    deployment: Name
    when: tuple[Cause, ...] = Field(
        min_length=1,
        description="queue: the wait would be longer than `after`; cold: no replica is ready; "
        "context: prompt and answer do not fit; down: it does not start, or replicas broke.",
    )
    after: Duration = Field(default=10.0, description="For queue: the longest expected wait.")


class Limits(Strict):
    """What one route, or each key or tenant on it, may use; beyond it requests get a 429."""

    per: Literal["route", "key", "tenant"] = "route"
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Prompt and answer; the answer counts when it is there."
    )
    concurrency: int | None = Field(default=None, ge=1, description="Requests at once.")
    max_prompt: int | None = Field(default=None, ge=1, description="Tokens of one prompt.")
    max_output: int | None = Field(default=None, ge=1, description="Tokens of one answer.")
    mode: Literal["enforce", "count"] = Field(
        default="enforce", description="count: only note in metrics and records who is beyond."
    )


class RouteQueue(Strict):
    """Bounds on the waiting of one route's requests, within those of the deployment."""

    limit: int | None = Field(default=None, ge=0, le=100_000, description="Waiting requests.")
    max_wait: Duration | None = Field(default=None, description="Longest wait of a request.")


class Recording(Strict):
    """What records keep beside figures; by default no words."""

    prompts: bool = False
    answers: bool = False


class Route(Strict):
    """Requests that match go to the deployment, or to one of the variants. First match wins."""

    match: Match
    deployment: Name | None = None
    variants: tuple[Variant, ...] = ()
    sticky: Literal["conversation", "key", "none"] = Field(
        default="conversation", description="What keeps its variant from request to request."
    )
    shadow: Shadow | None = None
    overflow: tuple[Overflow, ...] = Field(default=(), description="Tried in this order.")
    priority: Literal["high", "normal", "low"] = Field(
        default="normal", description="Share of the work while all wait: 16 to 4 to 1."
    )
    limits: tuple[Limits, ...] = ()
    queue: RouteQueue = RouteQueue()
    record: Recording = Recording()
    slo: Slo = Slo()
    workload: Workload = Field(
        default="interactive", description="What its users wait for; promises that slo leaves out."
    )
    traffic: Traffic | None = Field(default=None, description="For `headrace plan`.")
    continuation: Literal["text", "exact", "off"] = Field(
        default="text",
        description="A broken stream goes on elsewhere from its text, its token ids, or not.",
    )
    silence: Duration = Field(
        default=30.0, description="A stream this long without a byte counts as broken."
    )
