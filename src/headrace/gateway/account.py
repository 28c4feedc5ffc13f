"""The books of one request: what it did, summed over the replicas that worked on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from headrace.gateway.records import Record
from headrace.gateway.relay import PlainRelay
from headrace.routing.attempts import Attempts

if TYPE_CHECKING:
    from headrace.gateway.exchange import Exchange
    from headrace.gateway.request import Headers, Peek, Request
    from headrace.gateway.upstream import Relay
    from headrace.gateway.usage import Usage
    from headrace.routing.match import Match
    from headrace.routing.queue import Ticket


@dataclass(slots=True)
class Account:
    """`arrived`, `first` and `last` are monotonic seconds; `events` are about one a token."""

    request: Request
    arrived: float = field(default_factory=monotonic)
    peek: Peek | None = None
    match: Match | None = None
    ticket: Ticket[Exchange] | None = None
    waited: tuple[float, float] = (0.0, 0.0)
    replica: str | None = None
    attempts: Attempts = field(default_factory=Attempts)
    status: int = 0
    first: float | None = None
    last: float = 0.0
    events: int = 0
    bytes: int = 0
    usage: Usage | None = None
    streamed: bool = False
    complete: bool = False
    continuations: int = 0

    def route_headers(self) -> Headers:
        """Return what is known of the request before a replica has it."""
        headers = [(b"x-request-id", self.request.id.encode())]
        if self.match is not None:
            headers.append((b"x-headrace-route", self.match.route.encode()))
            headers.append((b"x-headrace-deployment", self.match.deployment.encode()))
        return headers

    def headers(self) -> Headers:
        """Return all that is known of the request by now, for any answer to it."""
        headers = self.route_headers()
        if self.replica is not None:
            headers.append((b"x-headrace-replica", self.replica.encode()))
        held, queued = self.waits
        headers.append((b"x-headrace-held-ms", b"%d" % (held * 1000)))
        headers.append((b"x-headrace-queued-ms", b"%d" % (queued * 1000)))
        headers.append((b"x-headrace-attempts", b"%d" % self.attempts.made))
        return headers

    @property
    def waits(self) -> tuple[float, float]:
        """Seconds held and queued."""
        if self.ticket is not None:
            self.waited = (self.ticket.held, self.ticket.queued)
        return self.waited

    def take(self, relay: Relay) -> None:
        """Add what went through a relay that is done with."""
        self.bytes += relay.bytes
        self.usage = relay.usage
        if isinstance(relay, PlainRelay):
            return
        self.streamed, self.complete = True, relay.complete
        self.events += relay.events
        self.last = relay.last or self.last
        if self.first is None:
            self.first = relay.first

    @property
    def tokens(self) -> tuple[int | None, str | None]:
        """Tokens of the answer, and where that number comes from."""
        if self.usage is not None:
            return self.usage.completion_tokens, "usage"
        return (self.events, "events") if self.streamed else (None, None)

    @property
    def tpot(self) -> float | None:
        """Seconds per token after the first, the definition of `vllm bench serve`."""
        tokens, _ = self.tokens
        if self.first is None or not self.complete or not tokens or tokens == 1:
            return None
        return round((self.last - self.first) / (tokens - 1), 6)

    def record(self, outcome: str, error: str | None) -> Record:
        """Close the books.

        The ticket holds the exchange that holds this: without it, all is freed at once.
        """
        held, queued = self.waits
        self.ticket = None
        duration = monotonic() - self.arrived
        completion, source = self.tokens
        return Record(
            id=self.request.id,
            time=datetime.fromtimestamp(time() - duration, UTC),
            route=self.match.route if self.match else None,
            model=self.peek.model if self.peek else None,
            deployment=self.match.deployment if self.match else None,
            replica=self.replica,
            path=self.request.path,
            stream=self.peek.stream if self.peek else False,
            status=self.status,
            outcome=outcome,
            error=error,
            held_s=round(held, 6),
            queued_s=round(queued, 6),
            ttft_s=None if self.first is None else round(self.first - self.arrived, 6),
            duration_s=round(duration, 6),
            tpot_s=self.tpot,
            prompt_tokens=self.usage.prompt_tokens if self.usage else None,
            completion_tokens=completion,
            tokens_from=source,
            attempts=self.attempts.made,
            continuations=self.continuations,
            bytes=self.bytes,
        )
