"""Requests, a policy and engines in virtual time; the clients wait as long as it takes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.routing.engine import CACHE, Engine, Request
from bench.routing.policies import Asked, Queue, marks, queue_of
from bench.stats import percentile
from headrace.gateway.prompt import TypicalAnswer
from headrace.routing.ticket import Ticket, Want

ROOM = 256


@dataclass(frozen=True)
class Outcome:
    """What a run brought; times in seconds.

    `imbalance` is the largest replica's share of the tokens, over the mean share; `busiest` the
    same of the time in which it computed.
    """

    hit: float
    mean: float
    p50: float
    p99: float
    tpot: float
    imbalance: float
    busiest: float


class _Scene:
    """The gateway's queue before engines, and what happens next."""

    def __init__(self, queue: Queue, engines: list[Engine]) -> None:
        self.queue, self.engines = queue, {f"replica-{one.number}": one for one in engines}
        self.answer = TypicalAnswer()
        self.tickets: dict[int, Ticket[Request]] = {}
        self.events: list[tuple[float, str]] = []
        self.next: dict[str, float] = {}

    def arrive(self, request: Request) -> None:
        self.until(request.arrives)
        work = Asked(request.prompt, self.answer.expected(None), marks(request.blocks))
        work.request = request
        self.queue.submit(request, request.arrives, Want("route", "key", "normal", work))
        self.assign(request.arrives)

    def until(self, now: float) -> None:
        while self.events and self.events[0][0] <= now:
            at, name = heapq.heappop(self.events)
            if at == self.next[name]:
                self.advance(name, at)
                self.assign(at)

    def assign(self, now: float) -> None:
        for ticket, place in self.queue.assign(now):
            self.tickets[id(ticket.item)] = ticket
            self.advance(place.id, now, ticket.item)

    def advance(self, name: str, now: float, taken: Request | None = None) -> None:
        engine = self.engines[name]
        began, ended = engine.advance(now)
        for one in began:
            self.queue.prefilled(self.tickets[id(one)])
        for one in ended:
            self.queue.release(self.tickets.pop(id(one)))
            self.answer.learn(one.output)
        if taken is not None:
            engine.take(taken)
        self.next[name] = engine.next_event()
        if self.next[name] < math.inf:
            heapq.heappush(self.events, (self.next[name], name))


def simulate(
    requests: Sequence[Request], policy: str, replicas: int = 16, cache: int = CACHE
) -> Outcome:
    """Serve the requests, in their order of arrival, by one of `policies.POLICIES`."""
    engines = [Engine(number, cache) for number in range(replicas)]
    scene = _Scene(queue_of(policy, replicas, ROOM, cache), engines)
    for request in requests:
        scene.arrive(request)
    scene.until(math.inf)
    return _outcome(requests, engines)


def _outcome(requests: Sequence[Request], engines: Sequence[Engine]) -> Outcome:
    ttft = sorted(one.first - one.arrives for one in requests)
    tpot = sorted((one.ended - one.first) / one.output for one in requests)
    tokens = [0] * len(engines)
    for one in requests:
        tokens[one.replica] += one.prompt + one.output
    busy = [engine.busy for engine in engines]
    return Outcome(
        hit=sum(one.hit for one in requests) / sum(one.prompt for one in requests),
        mean=sum(ttft) / len(ttft),
        p50=percentile(ttft, 50),
        p99=percentile(ttft, 99),
        tpot=percentile(tpot, 50),
        imbalance=max(tokens) * len(tokens) / sum(tokens),
        busiest=max(busy) * len(busy) / sum(busy),
    )
