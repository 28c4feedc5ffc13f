"""The gateway's centre: what is configured, and which of its parts serves a request.

`server.py` brings whole requests to `Gateway.serve`. Those for a model become an exchange in a
lane (`exchange.py`, `dispatch.py`); the small ones are answered by `small.py`.
`service.py` changes the configuration and ends it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from time import monotonic

import msgspec
from prometheus_client.core import Metric

from headrace.gateway import control, errors
from headrace.gateway.account import Account
from headrace.gateway.admission import Admission
from headrace.gateway.direction import Direction
from headrace.gateway.director import Director, Question
from headrace.gateway.dispatch import Lane, Tell
from headrace.gateway.errors import Failure
from headrace.gateway.exchange import Exchange
from headrace.gateway.log import Log
from headrace.gateway.metrics import (
    Metrics,
    health_gauges,
    lane_gauges,
    process_gauges,
    stalled_gauge,
    start_metrics,
)
from headrace.gateway.request import Request, peek
from headrace.gateway.server import Client
from headrace.gateway.shadow import Nobody
from headrace.gateway.small import API, SmallAnswers
from headrace.gateway.transcript import Transcript
from headrace.gateway.words import words_of


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
        self.log = Log()
        self.draining = False
        self.empty = asyncio.Event()
        self._tell = tell
        self.configured = False
        self.synced = True
        """Whether the runtime knows which replicas there are; one that must look first says so."""
        self._small = SmallAnswers(self)
        self._lanes: dict[str, Lane] = {}
        self.director = Director(self._lanes)
        self._copies: set[Exchange] = set()

    # -- configuration ------------------------------------------------------------------------

    def configure(self, message: control.Configure) -> None:
        """Replace routes and deployments; a deployment that stays keeps its queue."""
        self.limits = message.limits
        self.admission.configure(message.keys, message.limits)
        self.director.configure(message)
        names = {config.name for config in message.deployments}
        for config in message.deployments:
            if config.name in self._lanes:
                self._lanes[config.name].reconfigure(config)
            else:
                self._lanes[config.name] = Lane(config, self._tell)
        self.log.configure(message.store, message.traces)
        self.configured = True
        gone = [self._lanes.pop(name) for name in self._lanes.keys() - names]
        for lane in gone:  # last, as whom it sends away may come back with the next request
            lane.close()

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
        exchange.saw(seen, traced=self.log.traced)
        question = self.director.question(request, seen)
        counter = self.director.counter(question)
        if counter is None:
            self._direct(exchange, question)
        else:
            exchange.count(counter, question, lambda: self._direct(exchange, question))

    def _direct(self, exchange: Exchange, question: Question) -> None:
        direction = self.director.direct(question)
        if isinstance(direction, Failure):
            exchange.fail(direction)
            return
        if exchange.begin(direction) and direction.shadow is not None:
            self._copy(question, direction)

    def _copy(self, question: Question, direction: Direction) -> None:
        """Have the shadow answer a copy of the request, if a replica can take it at once."""
        lane = self._lanes.get(direction.shadow or "")
        if lane is None or not lane.idle:
            return
        request = msgspec.structs.replace(question.request, id=f"{question.request.id}.shadow")
        copy = Exchange(self, Nobody(lambda: self._copies.discard(copy)), request)
        self._copies.add(copy)
        copy.saw(question.peek, traced=False)
        copy.begin(self.director.shadowed(direction, question.request.id))

    def lane_of(self, direction: Direction) -> Lane | None:
        """Return the lane of the deployment that a request is directed to."""
        return self._lanes.get(direction.deployment)

    def demands(self) -> list[control.Demand]:
        """Return the work of each deployment as it is now."""
        return [lane.demand() for lane in self._lanes.values()]

    # -- accounts -----------------------------------------------------------------------------

    def record(
        self, account: Account, outcome: str, error: str | None, transcript: Transcript
    ) -> None:
        """Take the books of a finished request."""
        direction = account.direction
        self.director.ended(account)
        lane = self._lanes.get(direction.deployment) if direction else None
        price = lane.config.price if lane else None
        record = account.record(outcome, error, price, words_of(account, transcript))
        self.metrics.of(record.route, record.deployment).observe(record)
        self.log.add(record)

    def _gauges(self) -> Iterable[Metric]:
        yield from lane_gauges(self.demands(), len(self.clients), self.log.dropped)
        now, lanes = monotonic(), self._lanes.values()
        yield from process_gauges(self.admission.bodies)
        yield stalled_gauge(self._stalled())
        yield from start_metrics((name, lane.starts) for name, lane in self._lanes.items())
        yield from health_gauges((lane.stats(now), bool(lane.suspicion)) for lane in lanes)

    def _stalled(self) -> dict[str, int]:
        """Return how many clients leave answers of each deployment untaken."""
        stalled = dict.fromkeys(self._lanes, 0)
        for client in self.clients:
            if client.stalls_at in stalled:
                stalled[client.stalls_at] += 1
        return stalled

    # -- time and end -------------------------------------------------------------------------

    def tick(self) -> None:
        """Each second: deadlines, idle connections, demand."""
        now = monotonic()
        everybody = (*self.clients, *self.admins)
        for client in [client for client in everybody if client.deadline < now]:
            client.out_of_time()
        asked = [client.exchange for client in self.clients if client.exchange]
        for exchange in [*asked, *self._copies]:
            exchange.guard(partial(exchange.tick, now))
        self.director.ledger.tick()
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
        for copy in list(self._copies):
            copy.fail(errors.drain_timeout())
        for lane in self._lanes.values():
            lane.close()
        self.director.ledger.close()
        self.log.close()


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
