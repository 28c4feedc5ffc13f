"""The life of one request that a deployment serves: waiting, bound to a replica, relayed, recorded.

It is the only place that knows both sides: `server.py` (the client's connection) and `upstream.py`
(the replica's). Each of its public methods is one event of that life. An event that comes after the
end changes nothing. An attempt that fails is followed by another (`routing/attempts.py` says when
to stop): from the start while the client has nothing, else for the rest (`continuation.py`).
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import TYPE_CHECKING

from headrace.gateway import errors, heads
from headrace.gateway.account import Account
from headrace.gateway.continuation import Resumption, resume
from headrace.gateway.continued import ContinuedRelay
from headrace.gateway.relay import EventRelay, PlainRelay
from headrace.gateway.replies import OK, Reply
from headrace.gateway.request import Peek, Request, asking_for
from headrace.gateway.silence import Silence
from headrace.gateway.transcript import Transcript
from headrace.routing.attempts import BLAMELESS, POISON, Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.gateway.dispatch import Lane
    from headrace.gateway.errors import Failure
    from headrace.gateway.gateway import Gateway
    from headrace.gateway.heads import AnswerHead
    from headrace.gateway.server import Client
    from headrace.gateway.upstream import Call, Pool, Relay
    from headrace.routing.choose import Place
    from headrace.routing.match import Match
    from headrace.routing.queue import Ticket

_TRY_ELSEWHERE = frozenset((429, 500, 502, 503, 504))
"""Statuses of an engine that another replica may not give."""
_OVERLOADED = frozenset((429, 503))


class Exchange:
    """One request on its way. Made by `Gateway.serve`, which then calls `begin`."""

    def __init__(self, gateway: Gateway, client: Client, request: Request) -> None:
        self.account = Account(request)
        self._gateway = gateway
        self._client = client
        self._request = request
        self._lane: Lane | None = None
        self._withhold = self._exact = False
        self._place: Place | None = None
        self._call: Call | None = None
        self._relay: Relay | None = None
        self._answer: AnswerHead | None = None
        self._reply = Reply(client, self.account)
        self._transcript = Transcript()
        self._resumption: Resumption | None = None
        self._ended = self._paused = False
        self._sent_at = self._broke_at = 0.0
        self._silence, self._first_heard = Silence(0.0), False
        self._timer: asyncio.TimerHandle | None = None

    def saw(self, peek: Peek) -> None:
        """Take what the gateway knows of the body."""
        self.account.peek = peek

    # -- waiting ------------------------------------------------------------------------------

    def begin(self, match: Match, lane: Lane) -> None:
        """Enter the queue, after `saw`."""
        self.account.match, self._lane = match, lane
        peek = self.account.peek
        if peek is not None and peek.stream and peek.one_answer:
            self._withhold = not peek.usage_asked and lane.config.stream_usage
            exact = match.continuation == "exact" and lane.config.resume.token_ids
            self._exact = exact and not peek.ids_asked
        failure = lane.submit(self)
        if failure is not None:
            self.fail(failure)
        else:
            self._comment_later()

    def bind(self, place: Place, pool: Pool) -> None:
        """Send the request, or what remains of it, to a replica that has room."""
        self._stop_timer()
        self._place = place
        self.account.replica = place.id
        self.account.attempts = self.account.attempts.began()
        self._sent_at = monotonic()
        self._silence, self._first_heard = Silence(self._sent_at), False
        request, rest = self._request, self._resumption
        target, body = (rest.path.encode(), rest.body) if rest else (request.target, request.body)
        parts = asking_for(body, usage=self._withhold, ids=self._exact)
        head = heads.to_engine(
            request.method,
            target,
            request.headers,
            host=pool.address,
            length=sum(map(len, parts)),
            request_id=request.id,
        )
        self._call = pool.start(self, (head, *parts))
        if self._paused:
            self._call.pause()

    def _comment_later(self) -> None:
        """Plan the first comment, if this is a stream that has to wait."""
        peek = self.account.peek
        if self._place is None and not self._ended and peek is not None and peek.stream:
            self._later(self._gateway.timing.comment_first, self._comment)

    def _comment(self) -> None:
        """Show a waiting streaming client, and whatever is in between, that the line is alive."""
        self._reply.comment("waiting for a replica")
        self._later(self._gateway.timing.comment_every, self._comment)

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the replica's answer (upstream.Caller) -----------------------------------------------

    def answer_began(self, head: AnswerHead) -> Relay:
        """Return where the body goes; the client's head goes out with its first bytes."""
        self._answer = head
        if not (head.events and head.status == OK):
            self._relay = PlainRelay(
                head,
                self._client.write,
                chunked=self._client.chunked and head.length is None,
                start=lambda: self._reply.begin_plain(head),
            )
        elif self._transcript.empty:
            self._relay = self._first_relay(head)
        else:
            self._relay = self._next_relay(head)
        return self._relay

    def _first_relay(self, head: AnswerHead) -> EventRelay:
        """Relay a stream of which the client has no event yet, perhaps comments."""
        begun = self._reply.head_sent
        self._reply.in_band = True
        if begun:
            held, queued = (1000 * wait for wait in self.account.waits)
            waits = f"held {held:.0f} ms, queued {queued:.0f} ms"
            self._reply.comment(f"served by {self.account.replica} after {waits}")
        peek = self.account.peek
        return EventRelay(
            head,
            self._client.write,
            self._transcript,
            chunked=self._client.chunked,
            start=None if begun else lambda: self._reply.begin_stream(head),
            withhold=self._withhold,
            strip=self._exact,
            plain=peek is not None and peek.one_answer,
        )

    def _next_relay(self, head: AnswerHead) -> ContinuedRelay:
        """Relay the rest of a stream that broke."""
        pause = (monotonic() - self._broke_at) * 1000
        self._reply.comment(f"continued by {self.account.replica} after {pause:.0f} ms")
        self.account.continuations += 1
        return ContinuedRelay(
            head,
            self._client.write,
            self._resumption or Resumption("", b""),
            self._transcript,
            chunked=self._client.chunked,
            withhold=self._withhold,
            ids=self.account.peek is not None and self.account.peek.ids_asked,
        )

    def answer_done(self) -> None:
        """Take note that the replica's answer is over: end well, or try elsewhere."""
        relay, answer, self._call = self._relay, self._answer, None
        if self._ended or relay is None or answer is None:
            return
        if isinstance(relay, PlainRelay):
            self._plain_done(relay, answer)
        elif relay.complete:
            self._end_well(relay)
        else:
            self._again("broke", "ended the stream without a finish")

    def _plain_done(self, relay: PlainRelay, answer: AnswerHead) -> None:
        relay.read()
        if relay.held and (relay.aborted or answer.status in _TRY_ELSEWHERE):
            busy = relay.aborted or answer.status in _OVERLOADED
            what = "aborted the request" if relay.aborted else f"answered {answer.status}"
            if self._again("refused" if busy else "failed", what, last=relay):
                return
        if self._reply.head_sent and relay.held:
            kind = _kind(answer.status) or "engine_error"
            self._lane_hears(ok=answer.status < 500, what=f"answered {answer.status}")  # noqa: PLR2004  5xx
            self.fail(errors.upstream(kind, f"The engine answered {answer.status}: {relay.text}"))
        else:
            self._end_well(relay)

    def _end_well(self, relay: Relay) -> None:
        relay.finish()
        kind = "abort" if relay.aborted else _kind(self.account.status)
        self._settle()
        ok = kind in (None, "engine_refused")
        self._lane_hears(ok=ok, what=kind or "", tpot=self.account.tpot)
        self._finish(kind or "ok", kind)
        self._client.answered()

    def answer_broke(self, what: str, fate: Fate) -> None:
        """Try elsewhere, for all or for the rest; else say that it broke."""
        self._call = None
        relay = self._relay
        if self._ended or self._place is None:
            return
        if relay is not None and not isinstance(relay, PlainRelay):
            if relay.complete and not self._usage_missing(relay):
                self._end_well(relay)
                return
            if relay.aborted:
                fate = "refused"
        self._again(fate, what)

    def _usage_missing(self, relay: EventRelay | ContinuedRelay) -> bool:
        """Whether the client asked for counts that an otherwise whole answer lacks."""
        return (
            self.account.peek is not None and self.account.peek.usage_asked and relay.usage is None
        )

    # -- another attempt ----------------------------------------------------------------------

    def _again(self, fate: Fate, what: str, last: PlainRelay | None = None) -> bool:
        """Try elsewhere after a failed attempt, or fail; whether it did either.

        With `last`, a whole answer of the engine, the client gets that instead of our error.
        """
        lane, place, ticket, relay = self._lane, self._place, self.account.ticket, self._relay
        if lane is None or place is None or ticket is None:
            return False
        chance = random.random()  # noqa: S311  it spreads retries, it guards nothing
        tokens = 0 if relay is None or isinstance(relay, PlainRelay) else relay.events
        self.account.attempts, verdict = self.account.attempts.ended(fate, tokens, chance)
        obstacle = self._obstacle(relay)
        stop = bool(verdict.why or obstacle)
        if stop and last is not None:
            return False
        blame = fate not in BLAMELESS
        if blame:
            self._lane_hears(ok=False, what=what)
        if blame and last is None:
            lane.fault(place, what)
        if stop:
            self._give_up(f"Replica {place.id} {what}", verdict.why, obstacle)
            return True
        self._leave()
        self._later(verdict.pause, lambda: self._requeue(lane, ticket, place, blame=blame))
        return True

    def _leave(self) -> None:
        """Be done with an attempt."""
        self._settle()
        if self._resumption is not None or not self._transcript.empty:
            self._broke_at = monotonic()

    def _settle(self) -> None:
        """Take the relay's numbers into account; it is done with."""
        relay, self._relay, self._answer = self._relay, None, None
        if relay is not None:
            self._hear_first(relay)
            self.account.take(relay)

    def _hear_first(self, relay: Relay) -> None:
        """Tell once how long the replica took to its first token."""
        first = None if isinstance(relay, PlainRelay) else relay.first
        if first is None or self._first_heard or self._lane is None or self._place is None:
            return
        self._first_heard = True
        self._lane.began(self._place, first - self._sent_at)

    def _requeue(self, lane: Lane, ticket: Ticket[Exchange], place: Place, *, blame: bool) -> None:
        self._timer = self._place = None
        lane.retry(ticket, place, blame=blame, begun=not self._transcript.empty)
        self._comment_later()

    def _obstacle(self, relay: Relay | None) -> str:
        """Plan the rest of the answer; return why that cannot be, empty if it can."""
        if isinstance(relay, PlainRelay):
            return "" if relay.held else "a part of the answer was sent already"
        if self._transcript.empty:
            return ""
        if self.account.match is None or self.account.match.continuation == "off":
            return "its route does not continue streams"
        if relay is not None and relay.complete:
            return "it is whole but for its token counts"
        return self._plan_rest()

    def _plan_rest(self) -> str:
        if self.account.peek is None or self._lane is None or not self.account.peek.one_answer:
            return "it has several answers"
        told, engine = self._transcript.read(), self._lane.config.resume
        rest = resume(self._request.path, self._request.body, told, engine)
        if isinstance(rest, str):
            return rest
        self._transcript.rewind(told)
        self._resumption = rest
        return ""

    def _give_up(self, what: str, why: str, obstacle: str) -> None:
        if self._lane is not None and self._lane.suspicion:
            what = f"{what} (no replica is trusted at present: {self._lane.suspicion})"
        if obstacle:
            failure = errors.upstream("not_continued", f"{what}. Not continued: {obstacle}.")
        else:
            kind = "poison" if self.account.attempts.kills >= POISON else "upstream_broke"
            failure = errors.upstream(kind, f"{what}; {why}. Retry the request.")
        self.fail(failure)

    def _lane_hears(self, *, ok: bool, what: str = "", tpot: float | None = None) -> None:
        if self._lane is not None and self._place is not None:
            self._lane.ended(self._place, ok=ok, what=what, tpot=tpot)

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Each second: leave a replica that is silent, or that is to be left."""
        self._transcript.trim()
        relay = self._relay
        if relay is not None:
            self._hear_first(relay)
        seconds = self._silence.heard(relay.bytes if relay else 0, now, paused=self._paused)
        lane, place, match = self._lane, self._place, self.account.match
        if self._call is None or lane is None or place is None or match is None:
            return
        state = lane.state(place)
        match self._silence.verdict(seconds, match.silence, state, speaking=self._first_heard):
            case "leave" if self._movable(lane):
                self._move("moved", "is to be left")
            case "move":
                self._move("silent", f"was silent for {seconds:.0f} s")
            case "look":
                lane.fault(place, f"was silent for {seconds:.0f} s while it had work")

    def _movable(self, lane: Lane) -> bool:
        """Whether the request could go on elsewhere as if nothing had happened."""
        ready = lane.queue.any_ready and not self.account.attempts.stop_reason()
        return ready and not self._obstacle(self._relay)

    def _move(self, fate: Fate, what: str) -> None:
        self._cancel_call()
        self._again(fate, what)

    # -- the client's side --------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading from the replica: the client reads too slowly."""
        self._paused = True
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """Read on: the client caught up."""
        self._paused = False
        if self._call is not None:
            self._call.resume()

    def client_gone(self) -> None:
        """Leave the queue, or stop the engine's work: the client hung up, or had all it wanted."""
        if self._ended:
            return
        self._cancel_call()
        relay = self._relay
        whole = relay is not None and not isinstance(relay, PlainRelay) and relay.done_sent
        if whole:
            self._lane_hears(ok=True)
        self._finish("ok" if whole else "client_gone", None)

    # -- ends ---------------------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """End with a failure: a response if nothing was sent yet, an event in a stream."""
        if self._ended:
            return
        self._cancel_call()
        if not self._reply.head_sent:
            self.account.status = failure.status
        self._finish(failure.kind if self.account.attempts.made else "refused", failure.kind)
        self._reply.fail(failure)

    def _cancel_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _finish(self, outcome: str, error: str | None) -> None:
        """Give the room back and record what happened; nothing after this changes it."""
        self._ended = True
        self._stop_timer()
        self._settle()
        if self._lane is not None:
            if self.account.ticket is not None:
                self._lane.withdraw(self.account.ticket)
            if self._place is not None:
                self._lane.release(self._place)
        self._gateway.record(self.account.record(outcome, error))


def _kind(status: int) -> str | None:
    """Return what an engine's whole answer with that status counts as, None for a good one."""
    if status >= 500:  # noqa: PLR2004  5xx
        return "engine_error"
    return "engine_refused" if status >= 400 else None  # noqa: PLR2004  4xx
