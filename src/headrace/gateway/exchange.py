"""The life of one request that a deployment serves: waiting, bound to a replica, relayed, recorded.

It is the only place that knows both sides: `server.py` (the client's connection) and `upstream.py`
(the replica's). Each of its public methods is one event of that life. An event that comes after the
end changes nothing.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING

from headrace.gateway import errors, heads
from headrace.gateway.chunked import LAST_CHUNK, frame
from headrace.gateway.records import Record
from headrace.gateway.relay import EventRelay, PlainRelay
from headrace.gateway.request import Headers, Peek, Request, ask_for_usage

if TYPE_CHECKING:
    from headrace.gateway.dispatch import Lane
    from headrace.gateway.errors import Failure
    from headrace.gateway.gateway import Gateway
    from headrace.gateway.heads import AnswerHead
    from headrace.gateway.server import Client
    from headrace.gateway.upstream import Call, Pool, Relay
    from headrace.routing.choose import Place
    from headrace.routing.match import Match
    from headrace.routing.queue import Ticket

MAX_ATTEMPTS = 3
"""Replicas tried before the first byte of an answer."""
_OK = 200
_COMMENT = b": waiting for a replica\n\n"
_EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]


class Exchange:
    """One request on its way. Made by `Gateway.serve`, which then calls `begin`."""

    def __init__(self, gateway: Gateway, client: Client, request: Request) -> None:
        self.ticket: Ticket[Exchange] | None = None
        self._gateway = gateway
        self._client = client
        self._request = request
        self._arrived = monotonic()
        self.peek: Peek | None = None
        self._match: Match | None = None
        self._lane: Lane | None = None
        self._withhold = False
        self._place: Place | None = None
        self._replica: str | None = None
        self._call: Call | None = None
        self._relay: Relay | None = None
        self._attempts = 0
        self._status = 0
        self._head_sent = False
        self._in_band = False
        self._ended = False
        self._error_head: AnswerHead | None = None
        self._error_body: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    # -- waiting ------------------------------------------------------------------------------

    def begin(self, match: Match, lane: Lane) -> None:
        """Enter the queue; `peek` is set by then."""
        self._match, self._lane = match, lane
        peek = self.peek
        self._withhold = (
            peek is not None
            and peek.stream
            and peek.one_answer
            and not peek.usage_asked
            and lane.config.stream_usage
        )
        failure = lane.submit(self)
        if failure is not None:
            self.fail(failure)
        else:
            self._comment_later()

    def bind(self, place: Place, pool: Pool) -> None:
        """Send the request to a replica that has room."""
        self._stop_comments()
        self._place = place
        self._replica = place.id
        self._attempts += 1
        request = self._request
        body = ask_for_usage(request.body) if self._withhold else (request.body,)
        head = heads.to_engine(
            request.method,
            request.target,
            request.headers,
            host=pool.address,
            length=sum(map(len, body)),
            request_id=request.id,
        )
        self._call = pool.start(self, (head, *body))

    def _comment_later(self) -> None:
        """Plan the first comment, if this is a stream that has to wait."""
        if self._place is None and not self._ended and self.peek is not None and self.peek.stream:
            self._comment_in(self._gateway.timing.comment_first)

    def _comment_in(self, delay: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, self._comment)

    def _comment(self) -> None:
        """Show a waiting streaming client, and whatever is in between, that the line is alive."""
        if not self._head_sent:
            self._begin_stream()
        self._say(_COMMENT)
        self._comment_in(self._gateway.timing.comment_every)

    def _say(self, comment: bytes) -> None:
        self._client.write(frame(comment) if self._client.chunked else comment)

    def _begin_stream(self) -> None:
        self._in_band = True
        self._client.write(self._head(_OK, [*_EVENT_STREAM, *self._framing(None)]))

    def _stop_comments(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the replica's answer (upstream.Caller) -----------------------------------------------

    def answer_began(self, head: AnswerHead) -> Relay:
        """Pass the head on; return where the body goes."""
        if self._head_sent:
            self._relay = self._continue_stream(head)
            return self._relay
        events = head.events and head.status == _OK
        self._in_band = events
        length = None if events else head.length
        start = self._head(head.status, [*heads.passed_on(head), *self._framing(length)])
        if events:
            self._relay = self._event_relay(head, start)
        else:
            chunked = self._client.chunked and length is None
            self._relay = PlainRelay(head, self._client.write, chunked=chunked, start=start)
        return self._relay

    def _event_relay(self, head: AnswerHead, start: bytes) -> EventRelay:
        peek = self.peek
        return EventRelay(
            head,
            self._client.write,
            chunked=self._client.chunked,
            start=start,
            withhold=self._withhold,
            plain=peek is not None and peek.one_answer,
        )

    def _continue_stream(self, head: AnswerHead) -> Relay:
        """After comments the client has a 200 already: anything but a stream goes in-band."""
        if head.events and head.status == _OK:
            self._say(self._served_by())
            return self._event_relay(head, b"")
        self._error_head = head
        return PlainRelay(head, self._error_body.append, chunked=False, start=b"")

    def _served_by(self) -> bytes:
        """Return the comment that says what the head could not: who serves, after which waits."""
        held, queued = self._waits()
        waits = f"held {held * 1000:.0f} ms, queued {queued * 1000:.0f} ms"
        return f": served by {self._replica} after {waits}\n\n".encode()

    def answer_done(self) -> None:
        """End well: the replica's answer is whole."""
        relay, self._call = self._relay, None
        if self._ended or relay is None:
            return
        relay.finish()
        if self._error_head is not None:
            self._answer_error_in_band(self._error_head)
            return
        kind = self._verdict(relay)
        self._finish(kind or "ok", kind)
        self._client.answered()

    def _verdict(self, relay: Relay) -> str | None:
        """Return what was wrong with a whole answer, or None."""
        if self._status >= 500:  # noqa: PLR2004  5xx
            return "engine_error"
        if self._status >= 400:  # noqa: PLR2004  4xx
            return "engine_refused"
        if relay.aborted:
            return "abort"
        if isinstance(relay, EventRelay) and not relay.complete:
            return "engine_error"
        return None

    def _answer_error_in_band(self, head: AnswerHead) -> None:
        text = b"".join(self._error_body)[:2000].decode("utf-8", "replace")
        kind = "engine_error" if head.status >= 500 else "engine_refused"  # noqa: PLR2004  5xx
        self.fail(errors.upstream(kind, f"The engine answered {head.status}: {text}"))

    def answer_broke(self, what: str, *, began: bool, stale: bool) -> None:
        """Try elsewhere if nothing of the answer was seen, else say that it broke."""
        self._call = None
        place, lane, ticket = self._place, self._lane, self.ticket
        if self._ended or place is None or lane is None or ticket is None:
            return
        if stale:
            self._attempts -= 1
        else:
            lane.fault(place, what)
        if not began and self._attempts < MAX_ATTEMPTS:
            self._place = None
            lane.retry(ticket, place, blame=not stale)
            self._comment_later()
            return
        kind = "upstream_broke" if began else "upstream_unreachable"
        message = f"Replica {place.id} {what}; attempts: {self._attempts}. Retry the request."
        self.fail(errors.upstream(kind, message))

    # -- the client's side --------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading from the replica: the client reads too slowly."""
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """Read on: the client caught up."""
        if self._call is not None:
            self._call.resume()

    def client_gone(self) -> None:
        """Leave the queue, or stop the engine's work: the client hung up, or had all it wanted."""
        if self._ended:
            return
        self._cancel_call()
        relay = self._relay
        if isinstance(relay, EventRelay) and relay.done_sent:
            kind = self._verdict(relay)
            self._finish(kind or "ok", kind)
        else:
            self._finish("client_gone", None)

    # -- ends ---------------------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """End with a failure: a response if nothing was sent yet, an event in a stream."""
        if self._ended:
            return
        self._cancel_call()
        bound = self._attempts > 0
        if not self._head_sent:
            self._status = failure.status
            self._finish(failure.kind if bound else "refused", failure.kind)
            self._client.refuse(failure, self._known_headers())
            return
        if self._in_band:
            self._end_stream_with(failure)
        self._finish(failure.kind if bound else "refused", failure.kind)
        if self._in_band:
            self._client.answered(close=True)
        else:
            self._client.abort()  # the only way to say that a plain body is not whole

    def _end_stream_with(self, failure: Failure) -> None:
        if isinstance(self._relay, EventRelay):
            self._relay.cut()
        event = failure.event()
        self._client.write(frame(event) + LAST_CHUNK if self._client.chunked else event)

    def _cancel_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _finish(self, outcome: str, error: str | None) -> None:
        """Give the room back and record what happened; nothing after this changes it."""
        self._ended = True
        self._stop_comments()
        if self._lane is not None:
            if self.ticket is not None:
                self._lane.withdraw(self.ticket)
            if self._place is not None:
                self._lane.release(self._place)
        self._gateway.record(self._record(outcome, error))

    # -- heads and records --------------------------------------------------------------------

    def _head(self, status: int, headers: Headers) -> bytes:
        """Return the client's response head; whoever asks for it sends it."""
        self._status, self._head_sent = status, True
        return heads.to_client(status, [*headers, *self._known_headers()])

    def _framing(self, length: int | None) -> Headers:
        headers: Headers = []
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        elif self._client.chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        if not self._client.stays_open:
            headers.append((b"connection", b"close"))
        return headers

    def _known_headers(self) -> Headers:
        """Return what is known of this request by now, for any answer to it."""
        headers = [(b"x-request-id", self._request.id.encode())]
        if self._match is not None:
            headers.append((b"x-headrace-route", self._match.route.encode()))
            headers.append((b"x-headrace-deployment", self._match.deployment.encode()))
        if self._in_band and self._place is None:
            return headers  # the waits go on; a comment will tell them
        if self._place is not None:
            headers.append((b"x-headrace-replica", self._place.id.encode()))
        held, queued = self._waits()
        headers.append((b"x-headrace-held-ms", b"%d" % (held * 1000)))
        headers.append((b"x-headrace-queued-ms", b"%d" % (queued * 1000)))
        headers.append((b"x-headrace-attempts", b"%d" % self._attempts))
        return headers

    def _waits(self) -> tuple[float, float]:
        return (self.ticket.held, self.ticket.queued) if self.ticket is not None else (0.0, 0.0)

    def _record(self, outcome: str, error: str | None) -> Record:
        peek, match, relay = self.peek, self._match, self._relay
        duration = monotonic() - self._arrived
        held, queued = self._waits()
        ttft = tpot = completion = prompt = source = None
        if relay is not None and relay.usage is not None:
            prompt, completion = relay.usage.prompt_tokens, relay.usage.completion_tokens
            source = "usage"
        if isinstance(relay, EventRelay):
            if source is None:
                completion, source = relay.events, "events"
            if relay.first is not None:
                ttft = round(relay.first - self._arrived, 6)
                tpot = _per_token(relay.last - relay.first, completion) if relay.complete else None
        return Record(
            id=self._request.id,
            time=datetime.fromtimestamp(time() - duration, UTC),
            route=match.route if match else None,
            model=peek.model if peek else None,
            deployment=match.deployment if match else None,
            replica=self._replica,
            path=self._request.path,
            stream=peek.stream if peek else False,
            status=self._status,
            outcome=outcome,
            error=error,
            held_s=round(held, 6),
            queued_s=round(queued, 6),
            ttft_s=ttft,
            duration_s=round(duration, 6),
            tpot_s=tpot,
            prompt_tokens=prompt,
            completion_tokens=completion,
            tokens_from=source,
            attempts=self._attempts,
            bytes=relay.bytes if relay is not None else 0,
        )


def _per_token(seconds: float, tokens: int | None) -> float | None:
    """Seconds per output token after the first, the definition of `vllm bench serve`."""
    return round(seconds / (tokens - 1), 6) if tokens is not None and tokens > 1 else None
