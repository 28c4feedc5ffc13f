"""The messages between a gateway and the runtime that owns it.

One gateway process serves; one runtime (the local supervisor, later Kubernetes) decides. They talk
over a socket in JSON, one message a line: the runtime says which routes, deployments and replicas
exist, the gateway says what demand it sees. A closed control socket means that the other side is
gone. `service.py` reads these messages; `headrace.local` writes them.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Requests for any of `models` (the `model` field of the body) go to `deployment`.

    `continuation` says how a broken stream goes on elsewhere: from its text, from its token ids
    (`exact`), or not at all. A stream that was silent for `silence` seconds after its first token
    counts as broken.
    """

    name: str
    models: tuple[str, ...]
    deployment: str
    continuation: Literal["text", "exact", "off"] = "text"
    silence: float = 30.0


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment's engine can go on with an answer that another replica began.

    `chat`: it continues a partial assistant message (`continue_final_message`). `token_ids`: it
    gives token ids in a stream (`return_token_ids`) and takes them as a prompt. `context` is the
    longest prompt and answer together, in tokens, where it is known.
    """

    chat: bool = True
    token_ids: bool = True
    context: int | None = None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One queue: at most `queue_limit` waiting requests, none for longer than `max_wait` seconds.

    `stream_usage` says that the engine can add a usage event to a stream when `stream_options` asks
    for it.
    """

    name: str
    queue_limit: int
    max_wait: float
    stream_usage: bool = True
    resume: Resume = Resume()


ReplicaState = Literal["ready", "draining", "leaving", "failed"]
"""Only a ready replica gets new work. What a draining one has may finish there; what a leaving one
has moves to another replica if it can; what a failed one has moves as soon as it is silent."""


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """A place to send work: it takes `room` requests at once."""

    id: str
    host: str
    port: int
    room: int
    state: ReplicaState = "ready"


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

    `streams` bounds the requests of this key that are in the gateway at once (None: no bound).
    """

    name: str
    digest: str
    streams: int | None = None


class Configure(msgspec.Struct, frozen=True, kw_only=True, tag="configure"):
    """Replaces all routes and deployments; first message a gateway gets."""

    routes: tuple[Route, ...]
    deployments: tuple[Deployment, ...]
    limits: Limits = Limits()
    keys: tuple[Key, ...] | None = None
    """Who may call; None: everybody who can reach the address."""
    records: str | None = None
    """Path of the request log (JSON lines); none: no log."""


class Replicas(msgspec.Struct, frozen=True, kw_only=True, tag="replicas"):
    """Replaces the replicas of one deployment; one that is gone may finish what it runs.

    `hint` is told to clients that wait too long, e.g. why the deployment has no ready replica.
    `expected_ready` is the runtime's estimate, in seconds, of when the next replica is ready (for
    Retry-After).
    """

    deployment: str
    replicas: tuple[Replica, ...]
    hint: str = ""
    expected_ready: float | None = None


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
    since the gateway started.
    """

    deployment: str
    held: int
    queued: int
    running: int
    arrived: int
    replicas: dict[str, int]


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
