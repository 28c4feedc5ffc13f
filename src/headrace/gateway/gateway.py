"""The gateway's centre: what is configured, and which of its parts serves a request.

`server.py` brings whole requests to `Gateway.serve`. Those for a model become an exchange in a
lane (`exchange.py`, `dispatch.py`); the small ones (models, health, metrics) are answered here.
`service.py` changes the configuration and ends it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic, time

import msgspec
from prometheus_client.core import Metric

from headrace.gateway import control, errors
from headrace.gateway.dispatch import Lane, Tell
from headrace.gateway.errors import Failure
from headrace.gateway.exchange import Exchange
from headrace.gateway.metrics import Metrics, lane_gauges
from headrace.gateway.records import Log, Record
from headrace.gateway.request import Request, peek
from headrace.gateway.server import Client
from headrace.routing.match import Match, RouteTable

_API = frozenset(("/v1/chat/completions", "/v1/completions", "/v1/embeddings"))
_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_METRICS = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


@dataclass(frozen=True)
class Timing:
    """When a waiting streaming client gets its first comment and how often then, in seconds."""

    comment_first: float = 5.0
    comment_every: float = 10.0


class Gateway:
    """Everything one gateway process serves."""

    def __init__(self, tell: Tell, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.limits = control.Limits()
        self.clients: set[Client] = set()
        self.metrics = Metrics(self._gauges)
        self.log = Log(None)
        self.draining = False
        self.empty = asyncio.Event()
        self._tell = tell
        self._configured = False
        self._since = int(time())
        self._routes = RouteTable()
        self._lanes: dict[str, Lane] = {}

    # -- configuration ------------------------------------------------------------------------

    def configure(self, message: control.Configure) -> None:
        """Replace routes and deployments; a deployment that stays keeps its queue."""
        self.limits = message.limits
        self._routes = RouteTable(
            (alias, Match(route.name, route.deployment))
            for route in message.routes
            for alias in route.models
        )
        names = {config.name for config in message.deployments}
        for name in [name for name in self._lanes if name not in names]:
            self._lanes.pop(name).close()
        for config in message.deployments:
            if config.name in self._lanes:
                self._lanes[config.name].reconfigure(config)
            else:
                self._lanes[config.name] = Lane(config, self._tell)
        if message.records != self.log.path:
            self.log.flush()
            self.log = Log(message.records)
        self._configured = True

    def set_replicas(self, message: control.Replicas) -> None:
        """Replace one deployment's replicas; a deployment that is not configured has none."""
        lane = self._lanes.get(message.deployment)
        if lane is not None:
            lane.set_replicas(message)

    def joined(self, client: Client) -> int:
        """Take a new connection; return how many there are."""
        self.clients.add(client)
        return len(self.clients)

    def left(self, client: Client) -> None:
        """Forget a connection; a drain ends with the last."""
        self.clients.discard(client)
        if self.draining and not self.clients:
            self.empty.set()

    # -- requests -----------------------------------------------------------------------------

    def serve(self, client: Client, request: Request) -> None:
        """Answer a request, now or when a replica has."""
        path = request.path
        if request.method == b"POST" and path in _API:
            self._serve_model(client, request)
        elif request.method in (b"GET", b"HEAD"):
            self._serve_small(client, request, path)
        else:
            self._refuse_small(client, request, path)

    def _serve_model(self, client: Client, request: Request) -> None:
        exchange = client.exchange = Exchange(self, client, request)
        failure = errors.draining() if self.draining else _check_body_type(request)
        seen = peek(request.body) if failure is None else failure
        if isinstance(seen, Failure):
            exchange.fail(seen)
            return
        exchange.peek = seen
        match = self._routes.find(seen.model)
        lane = self._lanes.get(match.deployment) if match else None
        if match is None or lane is None:
            aliases, nearest = self._routes.aliases, self._routes.nearest(seen.model)
            exchange.fail(errors.model_not_found(seen.model, aliases, nearest))
            return
        exchange.begin(match, lane)

    def _serve_small(self, client: Client, request: Request, path: str) -> None:
        ident = (b"x-request-id", request.id.encode())
        if path == "/v1/models":
            models = [self._model(alias) for alias in self._routes.aliases]
            body = msgspec.json.encode({"object": "list", "data": models})
            client.respond(200, [_JSON, ident], body)
        elif path.startswith("/v1/models/"):
            self._serve_one_model(client, ident, path.removeprefix("/v1/models/"))
        elif path == "/healthz":
            client.respond(200, [_TEXT, ident], b"ok\n")
        elif path == "/readyz":
            ready = self._configured and not self.draining
            why = b"ok\n" if ready else b"draining\n" if self.draining else b"not configured\n"
            client.respond(200 if ready else 503, [_TEXT, ident], why)
        elif path == "/metrics":
            client.respond(200, [_METRICS, ident], self.metrics.render())
        else:
            self._refuse_small(client, request, path)

    def _serve_one_model(self, client: Client, ident: tuple[bytes, bytes], name: str) -> None:
        if self._routes.find(name) is None:
            aliases, nearest = self._routes.aliases, self._routes.nearest(name)
            client.refuse(errors.model_not_found(name, aliases, nearest), [ident])
        else:
            client.respond(200, [_JSON, ident], msgspec.json.encode(self._model(name)))

    def _model(self, alias: str) -> dict[str, str | int]:
        """Build OpenAI's model object."""
        return {"id": alias, "object": "model", "created": self._since, "owned_by": "headrace"}

    def _refuse_small(self, client: Client, request: Request, path: str) -> None:
        known = ("/v1/models", "/healthz", "/readyz", "/metrics")
        allow = None
        if path in _API:
            allow = "POST"
        elif path in known or path.startswith("/v1/models/"):
            allow = "GET, HEAD"
        failure = errors.no_such_path(path, request.method.decode("ascii"), allow)
        self.metrics.of(None, None).refused(failure.kind)
        client.refuse(failure, [(b"x-request-id", request.id.encode())])

    # -- accounts -----------------------------------------------------------------------------

    def record(self, record: Record) -> None:
        """Take the record of a finished request."""
        self.metrics.of(record.route, record.deployment).observe(record)
        self.log.add(record)

    def _gauges(self) -> Iterable[Metric]:
        demands = [lane.demand() for lane in self._lanes.values()]
        return lane_gauges(demands, len(self.clients), self.log.dropped)

    # -- time and end -------------------------------------------------------------------------

    def tick(self) -> None:
        """Each second: deadlines, idle connections, demand."""
        now = monotonic()
        for client in [client for client in self.clients if client.deadline < now]:
            client.out_of_time()
        for lane in self._lanes.values():
            lane.tick(now)

    def drain(self) -> None:
        """Take nothing new; connections close as they fall idle."""
        self.draining = True
        for client in list(self.clients):
            client.drain()
        if not self.clients:
            self.empty.set()

    def stop(self) -> None:
        """Fail what still runs and close everything."""
        for client in list(self.clients):
            client.stop(errors.drain_timeout())
        for lane in self._lanes.values():
            lane.close()
        self.log.flush()


def _check_body_type(request: Request) -> Failure | None:
    fields: dict[bytes, bytes] = dict(request.headers)
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        message = "The body must be JSON: send Content-Type: application/json."
        return errors.of_status(415, "unsupported_media_type", message)
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        message = "Compressed bodies are not understood: send the body without Content-Encoding."
        return errors.of_status(415, "unsupported_media_type", message)
    return None
