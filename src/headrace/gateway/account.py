"""The books of one request: what it did, summed over the replicas that worked on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from headrace.gateway import limiting
from headrace.gateway.records import Record, Trace
from headrace.gateway.relay import StreamRelay
from headrace.gateway.traces import new_traceparent
from headrace.routing.attempts import Attempts
from headrace.routing.work import Work

if TYPE_CHECKING:
    from headrace.gateway import records
    from headrace.gateway.control import Price
    from headrace.gateway.direction import Direction
    from headrace.gateway.exchange import Exchange
    from headrace.gateway.request import Headers, Peek, Request
    from headrace.gateway.upstream import Relay
    from headrace.gateway.usage import Usage
    from headrace.routing.choose import Choice
    from headrace.routing.ticket import Ticket

_MILLION = 1_000_000


@dataclass(slots=True)
class Account:
    """`arrived`, `first` and `last` are monotonic seconds; `events` are about one a token.

    `before` is what was waited (held and queued, in seconds) in queues that the request has left.
    """

    request: Request
    arrived: float = field(default_factory=monotonic)
    peek: Peek | None = None
    direction: Direction | None = None
    ticket: Ticket[Exchange] | None = None
    before: tuple[float, float] = (0.0, 0.0)
    first_wait: float | None = None
    replica: str | None = None
    attempts: Attempts = field(default_factory=Attempts)
    tried: list[records.Attempt] = field(default_factory=list)
    status: int = 0
    first: float | None = None
    engine: float | None = None
    last: float = 0.0
    events: int = 0
    trace: Trace | None = None
    traceparent: bytes | None = None
    kept: bytes | None = None
    """The body of an answer that was no stream, where its words are recorded."""
    bytes: int = 0
    usage: Usage | None = None
    streamed: bool = False
    complete: bool = False
    continuations: int = 0
    shed: bool = False
    stalled: float = 0.0
    """Seconds for which the client did not take its answer, but for a stall under way."""
    stalled_since: float | None = None

    def begin_trace(self) -> None:
        """Make the ids of the request's span, which the engine's will be a child of."""
        given = dict(self.request.headers).get(b"traceparent")
        self.traceparent, self.trace = new_traceparent(given)

    def route_headers(self) -> Headers:
        """Return what is known of the request before a replica has it."""
        headers = [(b"x-request-id", self.request.id.encode())]
        direction = self.direction
        if direction is None:
            return headers
        headers.append((b"x-headrace-route", direction.route.name.encode()))
        headers.append((b"x-headrace-deployment", direction.deployment.encode()))
        if direction.fallbacks:
            causes = (f"{one.cause} from {one.origin}" for one in direction.fallbacks)
            headers.append((b"x-headrace-fallback", ", ".join(causes).encode()))
        if direction.grant is not None:
            headers += limiting.headers(direction.grant.requests, direction.grant.tokens)
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
        held, queued = self.before
        ticket = self.ticket
        return (held, queued) if ticket is None else (held + ticket.held, queued + ticket.queued)

    def left_queue(self) -> None:
        """Take note that the request has left a queue.

        The ticket holds the exchange that holds this: without it, all is freed at once.
        """
        self.before, self.ticket = self.waits, None

    def stalls(self) -> None:
        """Take note that the client no longer takes its answer."""
        if self.stalled_since is None:
            self.stalled_since = monotonic()

    def reads_on(self) -> None:
        """Take note that it takes its answer again, or that nobody waits for that any more."""
        if self.stalled_since is not None:
            self.stalled += monotonic() - self.stalled_since
            self.stalled_since = None

    def began(self, replica: str) -> None:
        """Take note that a replica gets the request."""
        self.replica = replica
        self.attempts = self.attempts.began()
        if self.first_wait is None:
            held, queued = self.waits
            self.first_wait = held + queued

    def take(self, relay: Relay) -> None:
        """Add what went through a relay that is done with."""
        self.bytes += relay.bytes
        self.usage = relay.usage
        if not isinstance(relay, StreamRelay):
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

    def done(self, expected: Work) -> tuple[Work, int | None]:
        """Return the work that the request was, and the tokens of its prompt that were cached.

        None where the engine does not say.
        """
        tokens, _ = self.tokens
        if self.usage is None:
            return Work(expected.prompt, tokens or 0), None
        return Work(self.usage.prompt_tokens, tokens or 0), self.usage.cached_tokens

    def record(
        self, outcome: str, error: str | None, price: Price | None, said: tuple[str | None, ...]
    ) -> Record:
        """Close the books; `said` are the prompt's and the answer's words, where they are kept."""
        ticket = self.ticket
        self.left_queue()
        self.reads_on()
        held, queued = self.before
        duration = monotonic() - self.arrived
        completion, source = self.tokens
        way, usage, peek = self.direction, self.usage, self.peek
        key = way.key if way else None
        choice = ticket.choice if ticket else None
        prompt, answer = said
        return Record(
            id=self.request.id,
            time=datetime.fromtimestamp(time() - duration, UTC),
            route=way.route.name if way else None,
            rule=way.rule if way else None,
            variant=way.variant if way else None,
            why=way.why if way else None,
            deployment=way.deployment if way else None,
            priority=way.want.priority if way else None,
            key=key.name if key else None,
            tenant=key.tenant if key else None,
            adapter=way.adapter if way else None,
            conversation=way.conversation if way else None,
            fallbacks=tuple(way.fallbacks) if way else (),
            limits=way.limits if way else (),
            model=peek.model if peek else None,
            replica=self.replica,
            path=self.request.path,
            stream=peek.stream if peek else False,
            status=self.status,
            outcome=outcome,
            error=error,
            held_s=round(held, 6),
            queued_s=round(queued, 6),
            retried_s=0.0 if self.first_wait is None else round(held + queued - self.first_wait, 6),
            ttft_s=None if self.first is None else round(self.first - self.arrived, 6),
            engine_s=self.engine,
            engine_queue_s=usage.queue_s if usage else None,
            stalled_s=round(self.stalled, 6),
            duration_s=round(duration, 6),
            tpot_s=self.tpot,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=completion,
            cached_tokens=usage.cached_tokens if usage else None,
            tokens_from=source,
            attempts=self.attempts.made,
            tried=tuple(self.tried),
            continuations=self.continuations,
            bytes=self.bytes,
            shed=self.shed,
            choice=_choice(choice),
            scores=choice.scores if choice else (),
            cost=_cost(price, usage),
            prompt=prompt,
            answer=answer,
            trace=self.trace,
            shadow=way.shadow if way else None,
            shadow_of=way.shadow_of if way else None,
        )


def _choice(choice: Choice | None) -> str | None:
    """Return in words why the last replica was chosen."""
    if choice is None:
        return None
    if len(choice.scores) <= 1:
        return "the only one that could take it" if choice.scores else "it was to be tried"
    return (
        f"least work, with {choice.cached} tokens of the prompt cached"
        if choice.cached
        else ("least work")
    )


def _cost(price: Price | None, usage: Usage | None) -> float | None:
    """Return what the request cost, in the fleet's currency; None where nobody can say."""
    if price is None or usage is None:
        return None
    cached = usage.cached_tokens or 0
    fresh = usage.prompt_tokens - cached
    answer = usage.completion_tokens or 0
    total = fresh * price.input + cached * price.cached + answer * price.output
    return round(total / _MILLION, 9)
