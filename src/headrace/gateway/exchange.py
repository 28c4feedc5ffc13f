"""The life of one request that a deployment serves: waiting, bound to a replica, relayed, recorded.

It is the only place that knows both sides: `server.py` (the client's connection) and `upstream.py`
(the replica's). Each of its public methods is one event of that life. An event that comes after the
end changes nothing. An attempt that fails is followed by another (`routing/attempts.py` says when
to stop): from the start while the client has nothing, else for the rest (`answer.py`).
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import TYPE_CHECKING

from headrace.gateway import errors
from headrace.gateway.account import Account
from headrace.gateway.answer import Answer
from headrace.gateway.attempt import Attempt
from headrace.gateway.counting import Count
from headrace.gateway.relay import PlainRelay, StreamRelay
from headrace.gateway.request import Peek, Request
from headrace.gateway.words import keeps_answer
from headrace.routing.attempts import BLAMELESS, POISON, Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.gateway.direction import Direction
    from headrace.gateway.director import Question
    from headrace.gateway.dispatch import Lane
    from headrace.gateway.errors import Failure
    from headrace.gateway.gateway import Gateway
    from headrace.gateway.heads import AnswerHead
    from headrace.gateway.replies import Audience
    from headrace.gateway.upstream import Pool, Relay
    from headrace.routing.choose import Place

_TRY_ELSEWHERE = frozenset((429, 500, 502, 503, 504))
"""Statuses of an engine that another replica may not give."""
_OVERLOADED = frozenset((429, 503))


class Exchange:
    """One request on its way. Made by `Gateway.serve`, which then calls `begin`."""

    def __init__(self, gateway: Gateway, client: Audience, request: Request) -> None:
        self.account = Account(request)
        self._gateway = gateway
        self._client = client
        self._lane: Lane | None = None
        self._attempt: Attempt | None = None
        """The one under way, or the last one until the request waits again."""
        self._answer = Answer(client, self.account)
        self._reply = self._answer.reply
        self._ended = self._paused = self._over = False
        self._count: Count | None = None
        self._timer: asyncio.TimerHandle | None = None

    def saw(self, peek: Peek, *, traced: bool) -> None:
        """Take what the gateway knows of the body; `traced`: spans will be made of the record."""
        self.account.peek = peek
        if traced:
            self.account.begin_trace()

    @property
    def head_sent(self) -> bool:
        """Whether the client has the head of its answer."""
        return self._reply.head_sent

    # -- waiting ------------------------------------------------------------------------------

    def count(self, lane: Lane, question: Question, then: Callable[[], object]) -> None:
        """Have a replica count the prompt's tokens before the request is directed."""

        def counted(tokens: int | None) -> None:
            self._count = None
            if tokens is not None:
                question.told(tokens)
            self.guard(then)

        self._count = Count(counted)
        lane.ask(self._count, question)

    def begin(self, direction: Direction) -> bool:
        """Enter the queue of the deployment that the request was directed to, after `saw`.

        Whether it was let in.
        """
        self.account.direction = direction
        failure = None if direction.shadow_of else self._gateway.director.admit(direction)
        if failure is not None:
            self.fail(failure)
        else:
            self._enter()
        return not self._ended

    def _enter(self) -> None:
        """Wait for a replica of the deployment."""
        direction = self.account.direction
        if direction is None:
            return
        lane = self._lane = self._gateway.lane_of(direction)
        if lane is None:
            self.fail(errors.removed(direction.deployment))
            return
        self._answer.goes_to(lane.config)
        failure = lane.submit(self, direction.want)
        if failure is not None:
            self.fail(failure)
        else:
            self._comment_later()

    def _diverted(self, *, broke: bool = False) -> bool:
        """Whether the request, which has no answer yet, is to go to another deployment."""
        direction, ticket = self.account.direction, self.account.ticket
        if direction is None or self._answer.begun or ticket is None:
            return False
        waited = monotonic() - self.account.arrived
        return self._gateway.director.divert(direction, ticket, waited=waited, broke=broke)

    def _change_lanes(self) -> None:
        """Leave a deployment for the one that the request was diverted to."""
        self._stop_timer()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._part(attempt)
        if self._lane is not None and self.account.ticket is not None:
            self._lane.withdraw(self.account.ticket)
        self.account.left_queue()
        direction = self.account.direction
        if self._reply.head_sent and direction is not None:
            self._reply.comment(f"goes to {direction.deployment}, as {direction.fallback_why}")
        self._enter()

    def removed(self) -> None:
        """Go elsewhere if the route allows that: the deployment is gone."""
        if self._diverted():
            self._change_lanes()
        elif self._lane is not None:
            self.fail(errors.removed(self._lane.config.name))

    def bind(self, place: Place, pool: Pool) -> None:
        """Send the request, or what remains of it, to a replica that has room."""
        ticket = self.account.ticket
        if self._lane is None or ticket is None:
            return
        self._stop_timer()
        attempt = self._attempt = Attempt(self._lane, ticket, place, pool)
        self.account.began(place.id)
        parts = self._answer.question(self._lane, place, pool.address)
        attempt.call = pool.start(self, parts)
        if self._paused:
            attempt.pause()

    def _comment_later(self) -> None:
        """Plan the first comment, if this is a stream that has to wait."""
        peek = self.account.peek
        if self._attempt is None and not self._ended and peek is not None and peek.stream:
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
        relay = self._answer.relay(head)
        if self._attempt is not None:
            self._attempt.relay, self._attempt.answer = relay, head
        return relay

    def answer_done(self) -> None:
        """Take note that the replica's answer is over: end well, or try elsewhere."""
        attempt = self._attempt
        if self._ended or attempt is None or attempt.relay is None or attempt.answer is None:
            return
        attempt.call = None
        if attempt.plain is not None:
            self._plain_done(attempt, attempt.plain, attempt.answer)
        elif attempt.stream is not None and attempt.stream.complete:
            self._end_well(attempt, attempt.relay)
        else:
            self._again(attempt, "broke", "ended the stream without a finish")

    def _plain_done(self, attempt: Attempt, relay: PlainRelay, answer: AnswerHead) -> None:
        relay.read()
        if relay.held and (relay.aborted or answer.status in _TRY_ELSEWHERE):
            fate, what = _turned_down(answer.status, aborted=relay.aborted)
            if self._again(attempt, fate, what, last=True):
                return
        if self._reply.head_sent and relay.held:
            kind = _kind(answer.status) or "engine_error"
            attempt.ended(ok=answer.status < 500, what=f"answered {answer.status}")  # noqa: PLR2004  5xx
            self.fail(errors.upstream(kind, f"The engine answered {answer.status}: {relay.text}"))
        else:
            self._end_well(attempt, relay)

    def _end_well(self, attempt: Attempt, relay: Relay) -> None:
        if isinstance(relay, PlainRelay) and keeps_answer(self.account):
            self.account.kept = relay.held_bytes
        relay.finish()
        kind = "abort" if relay.aborted else _kind(self.account.status)
        attempt.settle(self.account)
        ok = kind in (None, "engine_refused")
        attempt.ended(ok=ok, what=kind or "", tpot=self.account.tpot)
        self._finish(kind or "ok", kind)
        self._over = True
        self._client.answered()

    def answer_broke(self, what: str, fate: Fate) -> None:
        """Try elsewhere, for all or for the rest; else say that it broke."""
        attempt = self._attempt
        if self._ended or attempt is None:
            return
        attempt.call = None
        stream = attempt.stream
        if stream is not None and stream.complete and not self._usage_missing(stream):
            self._end_well(attempt, stream)
        else:
            aborted = stream is not None and stream.aborted
            self._again(attempt, "aborted" if aborted else fate, what)

    def _usage_missing(self, stream: StreamRelay) -> bool:
        """Whether the client asked for counts that an otherwise whole answer lacks."""
        peek = self.account.peek
        return peek is not None and peek.usage_asked and stream.usage is None

    # -- another attempt ----------------------------------------------------------------------

    def _again(
        self, attempt: Attempt, fate: Fate, what: str, *,
        last: bool = False, leisurely: bool = False,
    ) -> bool:  # fmt: skip
        """Try elsewhere after a failed attempt, or fail; whether it did either.

        With `last`, a whole answer of the engine, the client gets that instead of our error.
        `leisurely`: nothing is wrong yet, so where it cannot go on elsewhere it stays.
        """
        tokens = attempt.stream.events if attempt.stream else 0
        chance = random.random()  # noqa: S311  it spreads retries, it guards nothing
        attempts, verdict = self.account.attempts.ended(fate, tokens, chance)
        obstacle = self._answer.obstacle(attempt)
        stop = bool(verdict.why or obstacle)
        if stop and leisurely:
            return False
        attempt.fate = fate
        poison = attempts.kills >= POISON
        diverted = stop and not obstacle and not poison and self._diverted(broke=True)
        if stop and last and not diverted:
            return False
        attempt.cancel()
        self.account.attempts = attempts
        blame = fate not in BLAMELESS
        if blame:
            attempt.ended(ok=False, what=what)
        else:
            attempt.outcome = what  # nobody's fault, and not where the request ended well
        if blame and not last:
            attempt.lane.fault(attempt.place, what)
        if diverted:
            self._change_lanes()
            return True
        if stop:
            self._give_up(f"Replica {attempt.place.id} {what}", verdict.why, obstacle)
            return True
        attempt.settle(self.account)
        self._answer.broke()
        self._later(verdict.pause, lambda: self._requeue(attempt, blame=blame))
        return True

    def _requeue(self, attempt: Attempt, *, blame: bool) -> None:
        self._timer = self._attempt = None
        self.account.tried.append(attempt.told(self.account.arrived))
        attempt.lane.retry(attempt.ticket, blame=blame, begun=self._answer.begun)
        self._comment_later()

    def _give_up(self, what: str, why: str, obstacle: str) -> None:
        if self._lane is not None and self._lane.suspicion:
            what = f"{what} (no replica is trusted at present: {self._lane.suspicion})"
        if obstacle:
            failure = errors.upstream("not_continued", f"{what}. Not continued: {obstacle}.")
        else:
            kind = "poison" if self.account.attempts.kills >= POISON else "upstream_broke"
            failure = errors.upstream(kind, f"{what}; {why}. Retry the request.")
        self.fail(failure)

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Each second: leave a replica that is silent, or that is to be left."""
        self._answer.transcript.trim()
        attempt, direction = self._attempt, self.account.direction
        if direction is None:
            return
        if attempt is None:
            if self._diverted():
                self._change_lanes()
            return
        verdict, seconds = attempt.verdict(now, direction.route.silence, paused=self._paused)
        match verdict:
            case "leave" if attempt.lane.queue.any_ready:
                self._again(attempt, "moved", "is to be left", leisurely=True)
            case "move":
                self._again(attempt, "silent", f"was silent for {seconds:.0f} s")
            case "look":
                attempt.lane.fault(
                    attempt.place, f"was silent for {seconds:.0f} s while it had work"
                )

    # -- the client's side --------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading from the replica: the client reads too slowly."""
        self._paused = True
        self.account.stalls()
        if self._attempt is not None:
            self._attempt.pause()

    def resume(self) -> None:
        """Read on: the client caught up."""
        self._paused = False
        self.account.reads_on()
        if self._attempt is not None:
            self._attempt.resume()

    def client_gone(self) -> None:
        """Leave the queue, or stop the engine's work: the client hung up, or had all it wanted."""
        if self._ended:
            return
        attempt = self._attempt
        if attempt is not None:
            attempt.cancel()
        whole = attempt is not None and attempt.stream is not None and attempt.stream.done_sent
        if whole and attempt is not None:
            attempt.ended(ok=True)
        self._finish("ok" if whole else "client_gone", None)

    def displaced(self, failure: Failure) -> None:
        """Give the place in a full queue to a more important request."""
        self.account.shed = True
        self.fail(failure)

    # -- ends ---------------------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """End with a failure: a response if nothing was sent yet, an event in a stream."""
        if self._ended:
            return
        if self._attempt is not None:
            self._attempt.cancel()
        if not self._reply.head_sent:
            self.account.status = failure.status
        self._finish(failure.kind if self.account.attempts.made else "refused", failure.kind)
        self._over = True
        self._reply.fail(failure)

    def guard(self, action: Callable[[], object]) -> None:
        """Do something for this request alone: what goes wrong with it must not harm others.

        They may be the ones whose event led here: a replica that has room, or the clock.
        """
        try:
            action()
        except Exception as error:  # noqa: BLE001  the edge of one request: told, and hung up
            message = "our own mistake ended a request"
            asyncio.get_running_loop().call_exception_handler(
                {"message": message, "exception": error}
            )
            self.crashed()

    def crashed(self) -> None:
        """Hang up: a mistake of ours must not leave the client waiting for what never comes."""
        if self._over:
            return
        self._over = self._ended = True
        self._stop_timer()
        if self._count is not None:
            self._count.cancel()
        attempt, ticket, self._attempt = self._attempt, self.account.ticket, None
        if attempt is not None:
            attempt.cancel()
        if self._lane is not None and ticket is not None:
            self._lane.withdraw(ticket)
            if ticket.bound is not None:
                self._lane.release(ticket)
        self.account.left_queue()
        direction = self.account.direction
        if direction is not None and direction.grant is not None:
            direction.grant.settle(direction.size, self.account.tokens[0] or 0)
        self._client.abort()

    def _finish(self, outcome: str, error: str | None) -> None:
        """Give the room back and record what happened; nothing after this changes it."""
        self._ended = True
        self._stop_timer()
        if self._count is not None:
            self._count.cancel()
        attempt, ticket, self._attempt = self._attempt, self.account.ticket, None
        if attempt is not None:
            attempt.settle(self.account)
            done, cached = self.account.done(attempt.ticket.want.work)
            attempt.lane.settle(attempt.ticket, done, cached)
            self._part(attempt)
        if self._lane is not None and ticket is not None:
            self._lane.withdraw(ticket)
        self._gateway.record(self.account, outcome, error, self._answer.transcript)

    def _part(self, attempt: Attempt) -> None:
        """Be done with an attempt, and give its room back."""
        attempt.settle(self.account)
        self.account.tried.append(attempt.told(self.account.arrived))
        attempt.lane.release(attempt.ticket)


def _turned_down(status: int, *, aborted: bool) -> tuple[Fate, str]:
    """Return how an attempt ended whose whole answer is none, as a kind and in words."""
    if aborted:
        return "aborted", "aborted the request"
    return "refused" if status in _OVERLOADED else "failed", f"answered {status}"


def _kind(status: int) -> str | None:
    """Return what an engine's whole answer with that status counts as, None for a good one."""
    if status >= 500:  # noqa: PLR2004  5xx
        return "engine_error"
    return "engine_refused" if status >= 400 else None  # noqa: PLR2004  4xx
