"""What is remembered of one request: what happened, and never what was said unless a route asks.

`account.py` fills a `Record` when a request ends; `log.py` takes it off the event loop, `store.py`
keeps it, `history.py` reads it again, and `spans.py` makes OpenTelemetry spans of it.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.routing.choose import Score

TEXT_KEPT = 64 * 1024
"""Characters of a prompt, and of an answer, that a record keeps where its route says so."""


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One replica's work: from `start_s` after the arrival, for `duration_s`; `outcome` is `ok`, or
    what went wrong, in words, and `fate` its kind (see `routing.attempts`), None where nobody gave
    it one. `host` and `port` are the replica's.
    """  # noqa: D205 - the fields are its summary

    replica: str
    start_s: float
    duration_s: float
    outcome: str = "ok"
    host: str = ""
    port: int = 0
    fate: str | None = None


class Fallback(msgspec.Struct, frozen=True, gc=False):
    """The request left deployment `origin` because of `cause` (see `routing.route.Cause`)."""

    cause: str
    origin: str


class Touched(msgspec.Struct, frozen=True, gc=False):
    """A limit that the request was beyond, in words; without `enforced` it was only counted."""

    limit: str
    enforced: bool


class Trace(msgspec.Struct, frozen=True, gc=False):
    """The request's span, in lower-case hex; `parent_id` is the client's, if it sent one."""

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = True


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What happened to one request. Times are in seconds; `bytes` is the body sent to the client.

    *Where it went.* `route` took it by `rule`; `variant` is the deployment that the route's weights
    gave it and `why` says how; `deployment` and `replica` are the ones that served it last, chosen
    as `choice` and `scores` say. `fallbacks` are the deployments that it left on the way. A copy
    for a shadow deployment has `shadow_of`, the id of the original, which has `shadow`.

    *Waits.* `held_s` for a ready replica, `queued_s` for room; `retried_s` of both together was
    after a replica had failed. `engine_s` is from being sent to the first token, and
    `engine_queue_s` the part of it in the engine's own queue, where the engine says that.
    `stalled_s` is how long the client left so much of its answer untaken that nothing more was read
    from the replica.

    *How it ended.* `outcome` is `ok`, `refused` (never given to a replica), `client_gone` or a kind
    of error; `error` is the kind in either bad case. `attempts` counts the replicas that were
    tried (`tried` has them one by one), `continuations` how often another one went on with an
    answer that had begun. `shed` says that others were more important.

    `tokens_from` says where the counts come from: `usage` (the engine's word), `events` (one event
    counted as one token) or null. `cost` is by the deployment's price. `conversation` is a digest.
    """

    id: str
    time: datetime
    route: str | None
    model: str | None
    deployment: str | None
    replica: str | None
    path: str
    stream: bool
    status: int
    outcome: str
    error: str | None
    held_s: float
    queued_s: float
    ttft_s: float | None
    duration_s: float
    tpot_s: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    tokens_from: str | None
    attempts: int
    continuations: int
    bytes: int
    rule: str | None = None
    variant: str | None = None
    why: str | None = None
    choice: str | None = None
    scores: tuple[Score, ...] = ()
    retried_s: float = 0.0
    engine_s: float | None = None
    engine_queue_s: float | None = None
    stalled_s: float = 0.0
    cached_tokens: int | None = None
    tried: tuple[Attempt, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    limits: tuple[Touched, ...] = ()
    priority: str | None = None
    shed: bool = False
    key: str | None = None
    tenant: str | None = None
    adapter: str | None = None
    cost: float | None = None
    shadow: str | None = None
    shadow_of: str | None = None
    conversation: str | None = None
    prompt: str | None = None
    answer: str | None = None
    trace: Trace | None = None


def clip(text: str) -> str:
    """Return as much of a prompt or an answer as a record keeps."""
    return text if len(text) <= TEXT_KEPT else text[: TEXT_KEPT - 1] + "…"
