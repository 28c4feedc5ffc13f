"""One replica's try at a request: what was sent to it, what came back, what its lane hears of it.

`exchange.py` makes an attempt when the request is bound to a replica and decides what follows.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from headrace.gateway import records
from headrace.gateway.relay import PlainRelay, StreamRelay
from headrace.gateway.silence import Silence, Verdict

if TYPE_CHECKING:
    from headrace.gateway.account import Account
    from headrace.gateway.dispatch import Lane
    from headrace.gateway.exchange import Exchange
    from headrace.gateway.heads import AnswerHead
    from headrace.gateway.upstream import Call, Pool, Relay
    from headrace.routing.attempts import Fate
    from headrace.routing.choose import Place
    from headrace.routing.ticket import Ticket


class Attempt:
    """A request on a replica. `call` is None once it is over, `relay` before the answer's head."""

    __slots__ = ("_heard_first", "_pool", "_silence", "answer", "call", "fate", "first_at",
                 "lane", "outcome", "place", "relay", "sent_at", "ticket")  # fmt: skip

    def __init__(self, lane: Lane, ticket: Ticket[Exchange], place: Place, pool: Pool) -> None:
        self.lane, self.ticket, self.place = lane, ticket, place
        self._pool = pool
        self.outcome = "ok"
        self.fate: Fate | None = None
        self.sent_at = monotonic()
        self.first_at: float | None = None
        self.call: Call | None = None
        self.relay: Relay | None = None
        self.answer: AnswerHead | None = None
        self._silence = Silence(self.sent_at)
        self._heard_first = False

    @property
    def stream(self) -> StreamRelay | None:
        """The relay of a stream, None before there is one and for other answers."""
        return self.relay if isinstance(self.relay, StreamRelay) else None

    @property
    def plain(self) -> PlainRelay | None:
        """The relay of an answer that is no stream."""
        return self.relay if isinstance(self.relay, PlainRelay) else None

    def hear_first(self) -> None:
        """Tell the lane once how long the replica took to its first token."""
        first = self.stream.first if self.stream else None
        if first is not None and not self._heard_first:
            self._heard_first, self.first_at = True, first
            self.lane.prefilled(self.ticket)
            self.lane.began(self.place, first - self.sent_at)

    def ended(self, *, ok: bool, what: str = "", tpot: float | None = None) -> None:
        """Tell the lane how it ended."""
        self.outcome = what or "ok"
        self.lane.ended(self.place, ok=ok, what=what, tpot=tpot)

    def settle(self, account: Account) -> None:
        """Take the relay's numbers into the account; it is done with."""
        if self.relay is not None:
            self.hear_first()
            account.take(self.relay)
            if account.engine is None and self.first_at is not None:
                account.engine = round(self.first_at - self.sent_at, 6)
        self.relay = self.answer = None

    def told(self, arrived: float) -> records.Attempt:
        """Return it for the record of a request that arrived then."""
        start = self.sent_at - arrived
        taken = monotonic() - self.sent_at
        host, port = self._pool.host, self._pool.port
        return records.Attempt(
            self.place.id, round(start, 6), round(taken, 6), self.outcome, host, port, self.fate
        )

    def verdict(self, now: float, limit: float, *, paused: bool) -> tuple[Verdict, float]:
        """Return what its silence asks for, and how long that has been, in seconds."""
        self.hear_first()
        count = self.relay.bytes if self.relay else 0
        seconds = self._silence.heard(count, now, paused=paused)
        if self.call is None:
            return "", seconds
        state = self.lane.state(self.place)
        return self._silence.verdict(seconds, limit, state, speaking=self._heard_first), seconds

    def cancel(self) -> None:
        """Stop the replica's work."""
        if self.call is not None:
            self.call.cancel()
            self.call = None

    def pause(self) -> None:
        """Stop reading from the replica."""
        if self.call is not None:
            self.call.pause()

    def resume(self) -> None:
        """Read on."""
        if self.call is not None:
            self.call.resume()
