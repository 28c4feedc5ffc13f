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
    """Requests for any of `models` (the `model` field of the body) go to `deployment`."""

    name: str
    models: tuple[str, ...]
    deployment: str


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One queue: at most `queue_limit` waiting requests, none for longer than `max_wait` seconds.

    `stream_usage` says that the engine can add a usage event to a stream when `stream_options` asks
    for it.
    """

    name: str
    queue_limit: int
    max_wait: float
    stream_usage: bool = True


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """A place to send work: it takes `room` requests at once; a draining one gets nothing new."""

    id: str
    host: str
    port: int
    room: int
    state: Literal["ready", "draining"] = "ready"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what comes from outside; sizes in bytes, times in seconds."""

    max_head: int = 64 * 1024
    max_body: int = 32 * 1024 * 1024
    read_timeout: float = 30.0
    write_timeout: float = 60.0
    keepalive: float = 75.0
    max_connections: int = 8192


class Configure(msgspec.Struct, frozen=True, kw_only=True, tag="configure"):
    """Replaces all routes and deployments; first message a gateway gets."""

    routes: tuple[Route, ...]
    deployments: tuple[Deployment, ...]
    limits: Limits = Limits()
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


ToGateway = Configure | Replicas | Drain
FromGateway = Listening | Demand | Fault

_encoder = msgspec.json.Encoder()
decode_to_gateway = msgspec.json.Decoder(ToGateway).decode
decode_from_gateway = msgspec.json.Decoder(FromGateway).decode


def encode(message: ToGateway | FromGateway) -> bytes:
    """Return the message as one line."""
    return _encoder.encode(message) + b"\n"
