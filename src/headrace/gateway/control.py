"""The messages between a gateway and the runtime that owns it.

One gateway process serves; one runtime (the local supervisor, later Kubernetes) decides. They talk
over a socket in JSON, one message a line: the runtime says which routes, deployments and replicas
exist, the gateway says what demand it sees. A closed control socket means that the other side is
gone. `service.py` reads these messages; `headrace.local` writes them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace.routing.route import Limits as RouteLimits
from headrace.routing.route import Route
from headrace.starts.figures import StartFigures


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment's engine can go on with an answer that another replica began.

    `chat`: it continues a partial assistant message (`continue_final_message`). `token_ids`: it
    gives token ids in a stream (`return_token_ids`) and takes them as a prompt. `context` is the
    longest prompt and answer together, in tokens, where it is known.
    """

    chat: bool = True
    token_ids: bool = True
    context: int | None = None


class Price(msgspec.Struct, frozen=True):
    """For a million tokens: of prompts, of prompts from the cache, of answers."""

    input: float
    cached: float
    output: float


class Balancing(msgspec.Struct, frozen=True):
    """Which replica is chosen; `slow_start` in seconds."""

    prefix_affinity: bool = True
    slow_start: float = 10.0


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One queue: at most `queue_limit` waiting requests, none for longer than `max_wait` seconds.

    `stream_usage` says that the engine can add a usage event to a stream when `stream_options` asks
    for it, `counts` that it counts tokens at `/tokenize`. `adapters` are the LoRA adapters that its
    replicas have, by alias.
    """

    name: str
    queue_limit: int
    max_wait: float
    stream_usage: bool = True
    resume: Resume = Resume()
    counts: bool = True
    adapters: tuple[str, ...] = ()
    price: Price | None = None
    balancing: Balancing = Balancing()


ReplicaState = Literal["ready", "draining", "leaving", "failed"]
"""Only a ready replica gets new work. What a draining one has may finish there; what a leaving one
has moves to another replica if it can; what a failed one has moves as soon as it is silent."""


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """A place to send work: it takes `room` requests at once.

    `names` are what its engine calls the model: a request for another alias is sent under the first
    of them (none: any name will do). `cache` is its KV cache in tokens, where that is known;
    requests of `adapter_room` LoRA adapters run there at once (None: of all).
    """

    id: str
    host: str
    port: int
    room: int
    state: ReplicaState = "ready"
    names: tuple[str, ...] = ()
    cache: int | None = None
    adapter_room: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what comes from outside; sizes in bytes, times in seconds.

    `total` bounds one request from its arrival to its end, `max_bodies` all request bodies that are
    held at once.
    """

    max_head: int = 64 * 1024
    max_body: int = 32 * 1024 * 1024
    max_bodies: int = 1024 * 1024 * 1024
    read_timeout: float = 30.0
    write_timeout: float = 60.0
    keepalive: float = 75.0
    total: float = 3600.0
    max_connections: int = 8192


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call: `digest` is the SHA-256 of the API key in hex, never the key itself.

    `streams` bounds the requests of this key that are in the gateway at once (None: no bound),
    `limits` what it uses on all routes together. Keys of one `tenant` belong together.
    """

    name: str
    digest: str
    streams: int | None = None
    tenant: str | None = None
    limits: RouteLimits | None = None


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Where records of requests are kept: a file, and how much of it (seconds, bytes)."""

    path: str
    max_age: float = 7 * 86400.0
    max_size: int = 2**30


class Configure(msgspec.Struct, frozen=True, kw_only=True, tag="configure"):
    """Replaces all routes and deployments; first message a gateway gets."""

    routes: tuple[Route, ...]
    deployments: tuple[Deployment, ...]
    limits: Limits = Limits()
    keys: tuple[Key, ...] | None = None
    """Who may call; None: everybody who can reach the address."""
    store: Store | None = None
    """Where records go; None: nowhere."""
    usage: str | None = None
    """File in which all gateways of the fleet count what keys and routes use; None: in memory."""
    traces: str | None = None
    """Where OpenTelemetry spans go (OTLP over HTTP); None: nowhere."""


class Replicas(msgspec.Struct, frozen=True, kw_only=True, tag="replicas"):
    """Replaces the replicas of one deployment; one that is gone may finish what it runs.

    `hint` is told to clients that wait too long, e.g. why the deployment has no ready replica.
    `expected_ready` is the runtime's estimate, in seconds, of when the next replica is ready (for
    Retry-After). `coming`: a replica is starting; `down`: the runtime has given up starting any.
    `starts` is what starts of it took, for the metrics.
    """

    deployment: str
    replicas: tuple[Replica, ...]
    hint: str = ""
    expected_ready: float | None = None
    coming: bool = False
    down: bool = False
    starts: StartFigures | None = None


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag="drain"):
    """Accept nothing new, finish what runs for at most `timeout` seconds, then exit."""

    timeout: float


class Listening(msgspec.Struct, frozen=True, kw_only=True, tag="listening"):
    """Gateway to runtime: the gateway serves on this address."""

    host: str
    port: int


class Draining(msgspec.Struct, frozen=True, kw_only=True, tag="draining"):
    """Gateway to runtime: it takes nothing new and ends when what it has is done.

    It was told so, or got a SIGTERM; then the runtime should start another one.
    """


class Demand(msgspec.Struct, frozen=True, kw_only=True, tag="demand"):
    """Gateway to runtime: the work of one deployment, on change (100 ms apart) and each second.

    `held` wait while no replica is ready, `queued` wait while all ready ones are full, `running`
    are bound to a replica; `replicas` is `running` by replica id; `arrived` counts all requests
    since the gateway started. `routes` has (held or queued, running) of each route.
    """

    deployment: str
    held: int
    queued: int
    running: int
    arrived: int
    replicas: dict[str, int]
    routes: dict[str, tuple[int, int]] = {}


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """Gateway to runtime: a replica refused, broke or answered wrongly; `what` says how."""

    deployment: str
    replica: str
    what: str


class ReplicaStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway saw of one replica in the last `Stats.window` seconds.

    `requests` ended, `failures` of them broke, were aborted or got a 5xx from it. Quantiles are in
    seconds, None without a sample. `ejected` says why it gets no work at present ("": it does).
    """

    requests: int = 0
    failures: int = 0
    ttft_p50: float | None = None
    ttft_p95: float | None = None
    tpot_p50: float | None = None
    tpot_p95: float | None = None
    ejected: str = ""


class Stats(msgspec.Struct, frozen=True, kw_only=True, tag="stats"):
    """Gateway to runtime, each second: how each replica of a deployment has done lately."""

    deployment: str
    window: float
    replicas: dict[str, ReplicaStats]


ToGateway = Configure | Replicas | Drain
FromGateway = Listening | Draining | Demand | Fault | Stats

_encoder = msgspec.json.Encoder()
decode_to_gateway = msgspec.json.Decoder(ToGateway).decode
decode_from_gateway = msgspec.json.Decoder(FromGateway).decode


def encode(message: ToGateway | FromGateway) -> bytes:
    """Return the message as one line."""
    return _encoder.encode(message) + b"\n"
