"""What can be wrong: each cause with the part that it belongs to, what shows it, what to do.

The table in the documentation is made from this one; `rules/` has the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """Where a request's time goes, or what cannot be told."""

    ADMISSION = "admission"
    """Getting into an engine."""
    GENERATION = "generation"
    """Prefill and decode, and taking the tokens away."""
    LIFE_CYCLE = "life cycle"
    """Replicas that start, drain, stop and die."""
    MEASUREMENT = "measurement"
    """The figures themselves."""


class Cause(StrEnum):
    """One kind of fault."""

    GATEWAY_QUEUE = "queue at the gateway"
    TIME_LIMIT = "upstream time limit"
    LONG_PREFILL = "long prefill"
    OVERLOADED_BATCH = "overloaded batch"
    KV_PRESSURE = "KV pressure"
    NOISY_NEIGHBOUR = "noisy neighbour"
    SLOW_CLIENT = "slow client"
    COLD_MODEL = "cold model"
    COLD_CACHE = "cold prefix cache"
    DRAINING = "draining replica"
    LOST_REPLICA = "lost replica"
    BAD_METRICS = "wrong or missing metrics"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Card:
    """What is known of a cause: `says` is the evidence, `advice` the change, `experiment` the test.

    `leads_to` are causes that this one brings about: they are shown after it.
    """

    part: Part
    says: str
    advice: str
    experiment: str
    leads_to: frozenset[Cause] = frozenset()


_SLOWS = frozenset({Cause.GATEWAY_QUEUE, Cause.OVERLOADED_BATCH, Cause.UNEXPLAINED})

CARDS: Mapping[Cause, Card] = {
    Cause.GATEWAY_QUEUE: Card(
        Part.ADMISSION,
        "requests wait at the gateway for longer than an engine takes to their first token, or "
        "some wait at every look, while every ready replica is full",
        "Add replicas: raise scaling.max, or lower the trigger's target so that they come earlier."
        " Where replicas have memory to spare, raise max_num_seqs.",
        "`headrace scale DEPLOYMENT N` with one more, and watch `headrace status`; "
        "`headrace experiment baseline` finds how many requests one replica takes.",
    ),
    Cause.TIME_LIMIT: Card(
        Part.ADMISSION,
        "most requests without a whole answer ended after the same time, and none lived longer",
        "Find who has that limit (client library, load balancer, ingress, proxy) and raise it above"
        " the longest answer, or bound max_tokens; stream, so that idle limits do not count.",
        "Send one long request straight to the gateway: if it lives longer, the limit is in front "
        "of it.",
    ),
    Cause.LONG_PREFILL: Card(
        Part.GENERATION,
        "the time in the engine before the first token grows with the uncached prompt tokens, or "
        "requests that came during a long prompt's prefill waited for it (answers in one piece: "
        "took far longer beside long prompts than without)",
        "Give long prompts a route and a deployment of their own (match: prompt_tokens), or a lower"
        " max_num_batched_tokens, so that a prefill lets decode steps in between; share prefixes.",
        "`headrace experiment shapes`: short and long prompts apart and mixed.",
        _SLOWS,
    ),
    Cause.OVERLOADED_BATCH: Card(
        Part.GENERATION,
        "the batch is full (running near max_num_seqs, or a queue inside the engine) and a token "
        "takes far longer than in a small batch; or it breaks its promise in one many times larger "
        "than where it was quickest",
        "Lower max_num_seqs to where the promise for a token is still kept, and add replicas.",
        "`headrace experiment baseline`: concurrency until the knee.",
        frozenset({Cause.UNEXPLAINED}),
    ),
    Cause.KV_PRESSURE: Card(
        Part.GENERATION,
        "requests are preempted, or wait inside the engine, while the KV cache is full or has no "
        "room for one more like those in it",
        "Lower max_num_seqs or max_model_len, or give the KV cache more memory (quantized KV, a "
        "higher gpu_memory_utilization, more replicas).",
        "`headrace experiment context`: the same load with a lower max_model_len.",
        _SLOWS | {Cause.LONG_PREFILL},
    ),
    Cause.NOISY_NEIGHBOUR: Card(
        Part.GENERATION,
        "others take the CPU that engines wait for, or one replica is far slower than its peers "
        "with no more to do",
        "Give the engine cores of its own (cgroup, CPU manager, another node), or move the other.",
        "Stop or pin the other process (`taskset`), and diagnose again.",
        _SLOWS | {Cause.LONG_PREFILL},
    ),
    Cause.SLOW_CLIENT: Card(
        Part.GENERATION,
        "answers are there and the client does not take them: the gateway must pause the engine's "
        "bytes, or the client's own clock shows far more than the gateway's",
        "Read streams in a task of their own; look at the client's CPU and its network.",
        "Ask the same from a plain client on another machine, and compare.",
    ),
    Cause.COLD_MODEL: Card(
        Part.LIFE_CYCLE,
        "requests are held because no replica is ready",
        "Keep one replica (scaling.min: 1), or make starts faster: weights in a local cache.",
        "`headrace experiment coldstart`: where the seconds of a start go.",
        _SLOWS,
    ),
    Cause.COLD_CACHE: Card(
        Part.LIFE_CYCLE,
        "the share of prompt tokens found in the prefix cache fell to less than half, or is that "
        "far below its peers' on a new replica, and first tokens take longer",
        "Wait until it is warm; do rollouts and scale-downs one replica at a time, at quiet hours.",
        "`headrace experiment prefix`: what the cache is worth on shared prefixes.",
        _SLOWS | {Cause.LONG_PREFILL},
    ),
    Cause.DRAINING: Card(
        Part.LIFE_CYCLE,
        "a replica that drains turned requests away, cut them, or left too little room",
        "Start the new replica before the old one drains (a surge), and give the drain the time of "
        "the longest answer (lifecycle.drain, terminationGracePeriodSeconds).",
        "`headrace experiment restart`: stop a replica under a long stream.",
        _SLOWS | {Cause.COLD_MODEL, Cause.COLD_CACHE},
    ),
    Cause.LOST_REPLICA: Card(
        Part.LIFE_CYCLE,
        "a replica crashed, answered wrongly or fell silent",
        "Read its last words: `headrace logs REPLICA`; a crash under load is mostly memory.",
        "`headrace drill --kind kill`: what clients see when a replica dies.",
        _SLOWS | {Cause.COLD_MODEL, Cause.COLD_CACHE},
    ),
    Cause.BAD_METRICS: Card(
        Part.MEASUREMENT,
        "an engine's page is missing, lacks names that its version has, or contradicts what the "
        "gateway counts",
        "Mend the metrics before tuning: scaling and this diagnosis rest on them.",
        "`curl` the engine's metrics page during one request: running must be 1.",
    ),
    Cause.UNEXPLAINED: Card(
        Part.GENERATION,
        "a promise is broken, and nothing that was seen says why",
        "Have more looked at (see what is missing), then diagnose again under load.",
        "`headrace experiment baseline`: one request alone, then more until the knee.",
    ),
}
"""Every cause's card, in the order of the documentation."""
