"""One client's answer, over all the replicas that have a part in it.

It makes what each of them is asked for, and the relays that pass on what comes back; it notes what
the client has, and plans how another replica goes on from there (`continuation.py`).
`exchange.py` owns it and says when.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from headrace.gateway.continuation import resume
from headrace.gateway.continued import ContinuedRelay
from headrace.gateway.outgoing import Changes, name_for, outgoing
from headrace.gateway.relay import BrokenStreamError, EventRelay, PlainRelay
from headrace.gateway.replies import OK, Reply
from headrace.gateway.transcript import Transcript

if TYPE_CHECKING:
    from headrace.gateway import control
    from headrace.gateway.account import Account
    from headrace.gateway.attempt import Attempt
    from headrace.gateway.continuation import Resumption
    from headrace.gateway.dispatch import Lane
    from headrace.gateway.heads import AnswerHead
    from headrace.gateway.replies import Audience
    from headrace.gateway.upstream import Relay
    from headrace.routing.choose import Place


class Answer:
    """What is asked of replicas for one client, and what of their answers it gets."""

    def __init__(self, client: Audience, account: Account) -> None:
        self.reply = Reply(client, account)
        self.transcript = Transcript()
        self._client = client
        self._account = account
        self._rest: Resumption | None = None
        self._withhold = self._exact = False
        self._broke_at = 0.0

    @property
    def begun(self) -> bool:
        """Whether the client has a part of it, so that only the rest is asked for."""
        return self._rest is not None

    # -- what a replica is asked --------------------------------------------------------------

    def goes_to(self, config: control.Deployment) -> None:
        """Take note of the deployment, which decides what a stream can be asked for."""
        peek, direction = self._account.peek, self._account.direction
        if peek is None or direction is None or not (peek.stream and peek.one_answer):
            return
        self._withhold = not peek.usage_asked and config.stream_usage
        exact = direction.route.continuation == "exact" and config.resume.token_ids
        self._exact = exact and not peek.ids_asked

    def question(self, lane: Lane, place: Place, host: bytes) -> Sequence[bytes | memoryview]:
        """Return the bytes that ask a replica for all of it, or for the rest."""
        return outgoing(self._account.request, self._rest, host, self._changes(lane, place))

    def _changes(self, lane: Lane, place: Place) -> Changes:
        peek, direction = self._account.peek, self._account.direction
        if peek is None or direction is None:
            return Changes()
        return Changes(
            model=name_for(peek.model, lane.names(place), lane.config.adapters),
            usage=self._withhold,
            ids=self._exact,
            output=direction.output_bound,
            traceparent=self._account.traceparent,
        )

    # -- what comes back ----------------------------------------------------------------------

    def relay(self, head: AnswerHead) -> Relay:
        """Return where the body goes; the client's head goes out with its first bytes."""
        if not (head.events and head.status == OK):
            return self._plain_relay(head)
        return self._first_relay(head) if self._rest is None else self._next_relay(head, self._rest)

    def _plain_relay(self, head: AnswerHead) -> PlainRelay:
        """Relay what is no stream; in one that has begun it can only be told as an error."""
        relay = PlainRelay(
            head,
            self._client.write,
            chunked=self._client.chunked and head.length is None,
            start=lambda: self._begin_plain(head),
        )
        relay.held = relay.held or head.status != OK or self.reply.head_sent
        return relay

    def _begin_plain(self, head: AnswerHead) -> bytes:
        if self.reply.head_sent:
            raise BrokenStreamError(f"answered {head.status} with something that is no stream")
        return self.reply.begin_plain(head)

    def _first_relay(self, head: AnswerHead) -> EventRelay:
        """Relay a stream of which the client has no event yet, perhaps comments."""
        begun = self.reply.head_sent
        self.reply.in_band = True
        if begun:
            held, queued = (1000 * wait for wait in self._account.waits)
            waits = f"held {held:.0f} ms, queued {queued:.0f} ms"
            self.reply.comment(f"served by {self._account.replica} after {waits}")
        peek = self._account.peek
        return EventRelay(
            head,
            self._client.write,
            self.transcript,
            chunked=self._client.chunked,
            start=None if begun else lambda: self.reply.begin_stream(head),
            withhold=self._withhold,
            strip=self._exact,
            plain=peek is not None and peek.one_answer,
        )

    def _next_relay(self, head: AnswerHead, rest: Resumption) -> ContinuedRelay:
        """Relay the rest of a stream that broke."""
        pause = (monotonic() - self._broke_at) * 1000
        self.reply.comment(f"continued by {self._account.replica} after {pause:.0f} ms")
        self._account.continuations += 1
        return ContinuedRelay(
            head,
            self._client.write,
            rest,
            self.transcript,
            chunked=self._client.chunked,
            withhold=self._withhold,
            ids=self._account.peek is not None and self._account.peek.ids_asked,
        )

    # -- when it broke ------------------------------------------------------------------------

    def broke(self) -> None:
        """Take note of when another replica was to go on."""
        if self._rest is not None:
            self._broke_at = monotonic()

    def obstacle(self, attempt: Attempt) -> str:
        """Plan the rest of the answer; return why that cannot be, empty if it can."""
        if attempt.plain is not None:
            return "" if attempt.plain.held else "a part of the answer was sent already"
        if self.transcript.empty:
            return ""
        direction = self._account.direction
        if direction is None or direction.route.continuation == "off":
            return "its route does not continue streams"
        if attempt.stream is not None and attempt.stream.complete:
            return "it is whole but for its token counts"
        return self._plan_rest(attempt.lane.config.resume)

    def _plan_rest(self, engine: control.Resume) -> str:
        request, peek = self._account.request, self._account.peek
        if peek is None or not peek.one_answer:
            return "it has several answers"
        told = self.transcript.read()
        rest = resume(request.path, request.body, told, engine)
        if isinstance(rest, str):
            return rest
        self.transcript.rewind(told)
        self._rest = rest
        return ""
