"""The gateway's centre: what is configured, and which of its parts serves a request.

`server.py` brings whole requests to `Gateway.serve`. Those for a model become an exchange in a
lane (`exchange.py`, `dispatch.py`); the small ones are answered by `small.py`.
`service.py` changes the configuration and ends it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from prometheus_client.core import Metric

from headrace.gateway import control, errors
from headrace.gateway.admission import Admission
from headrace.gateway.dispatch import Lane, Tell
from headrace.gateway.errors import Failure
from headrace.gateway.exchange import Exchange
from headrace.gateway.metrics import Metrics, health_gauges, lane_gauges, process_gauges
from headrace.gateway.records import Log, Record
from headrace.gateway.request import Request, peek
from headrace.gateway.server import Client
from headrace.gateway.small import API, SmallAnswers
from headrace.routing.match import Match, RouteTable


@dataclass(frozen=True)
class Timing:
    """When a waiting streaming client gets its first comment and how often then, in seconds."""

    comment_first: float = 5.0
    comment_every: float = 10.0


class Gateway:
    """Everything one gateway process serves.

    `clients` are the connections to the public address, `admins` those to the admin address, which
    `has_admin` says there is; `/metrics` is only there then.
    """

    def __init__(self, tell: Tell, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.limits = control.Limits()
        self.clients: set[Client] = set()
        self.admins: set[Client] = set()
        self.admission = Admission()
        self.has_admin = False
        self.metrics = Metrics(self._gauges)
        self.log = Log(None)
        self.draining = False
        self.empty = asyncio.Event()
        self._tell = tell
        self.configured = False
        self.routes = RouteTable()
        self._small = SmallAnswers(self)
        self._lanes: dict[str, Lane] = {}

    # -- configuration ------------------------------------------------------------------------

    def configure(self, message: control.Configure) -> None:
        """Replace routes and deployments; a deployment that stays keeps its queue."""
        self.limits = message.limits
        self.admission.configure(message.keys, message.limits)
        self.routes = RouteTable(
            (alias, Match(route.name, route.deployment, route.continuation, route.silence))
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
        self.configured = True

    def set_replicas(self, message: control.Replicas) -> None:
        """Replace one deployment's replicas; a deployment that is not configured has none."""
        lane = self._lanes.get(message.deployment)
        if lane is not None:
            lane.set_replicas(message)

    def joined(self, client: Client) -> int:
        """Take a new connection; return how many of its kind there are."""
        kind = self.admins if client.admin else self.clients
        kind.add(client)
        return len(kind)

    def left(self, client: Client) -> None:
        """Forget a connection; a drain ends with the last."""
        self.clients.discard(client)
        self.admins.discard(client)
        if self.draining and not self.clients:
            self.empty.set()

    def admission_of(self, client: Client) -> Admission:
        """Return who lets this client's requests in: at the admin address nobody is asked."""
        return Admission() if client.admin else self.admission

    # -- requests -----------------------------------------------------------------------------

    def serve(self, client: Client, request: Request) -> None:
        """Answer a request, now or when a replica has."""
        path = request.path
        if request.method == b"POST" and path in API and not client.admin:
            self._serve_model(client, request)
        else:
            self._small.serve(client, request, path)

    def _serve_model(self, client: Client, request: Request) -> None:
        exchange = client.exchange = Exchange(self, client, request)
        failure = _check_body_type(request)
        seen = peek(request.body) if failure is None else failure
        if isinstance(seen, Failure):
            exchange.fail(seen)
            return
        exchange.saw(seen)
        match = self.routes.find(seen.model)
        lane = self._lanes.get(match.deployment) if match else None
        if match is None or lane is None:
            aliases, nearest = self.routes.aliases, self.routes.nearest(seen.model)
            exchange.fail(errors.model_not_found(seen.model, aliases, nearest))
            return
        exchange.begin(match, lane)

    # -- accounts -----------------------------------------------------------------------------

    def record(self, record: Record) -> None:
        """Take the record of a finished request."""
        self.metrics.of(record.route, record.deployment).observe(record)
        self.log.add(record)

    def _gauges(self) -> Iterable[Metric]:
        demands = [lane.demand() for lane in self._lanes.values()]
        yield from lane_gauges(demands, len(self.clients), self.log.dropped)
        now, lanes = monotonic(), self._lanes.values()
        yield from process_gauges(self.admission.bodies)
        yield from health_gauges((lane.stats(now), bool(lane.suspicion)) for lane in lanes)

    # -- time and end -------------------------------------------------------------------------

    def tick(self) -> None:
        """Each second: deadlines, idle connections, demand."""
        now = monotonic()
        everybody = (*self.clients, *self.admins)
        for client in [client for client in everybody if client.deadline < now]:
            client.out_of_time()
        for exchange in [client.exchange for client in self.clients if client.exchange]:
            exchange.tick(now)
        for lane in self._lanes.values():
            lane.tick(now)

    def drain(self) -> None:
        """Let each connection have one more request at most; they close as they fall idle."""
        self.draining = True
        for client in [*self.clients, *self.admins]:
            client.drain()
        if not self.clients:
            self.empty.set()

    def stop(self) -> None:
        """Fail what still runs and close everything."""
        for client in [*self.clients, *self.admins]:
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
