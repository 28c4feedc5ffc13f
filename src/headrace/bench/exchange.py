"""One request under way, and the answer that is made of it in the end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from headrace.bench.answers import Answer, Failure
from headrace.bench.asks import Ask
from headrace.bench.connection import Connection
from headrace.bench.reply import Reply
from headrace.bench.reply_judge import judge

_DETAIL = 200
OWN = "of the client's own: "
"""How the detail of a failure begins that is not the server's."""
_NOTICED = {Failure.SILENT, Failure.STOPPED, Failure.RESET, Failure.UNREACHABLE}
"""Failures of which no byte tells: they are over when that is noticed."""


class Exchange:
    """A request and what came of it so far; times are absolute until `answer` makes them relative.

    `ended` is called once, when it is over, with the connection if that can be used again.
    `again` is called instead if a kept connection turns out to have been closed by the server.
    """

    __slots__ = (
        *("_again", "_ended", "ask", "connection", "due", "failure", "kept", "reply", "request"),
        *("retried", "sent", "stopped_at"),
    )

    def __init__(
        self,
        ask: Ask,
        due: float,
        request: bytes,
        *,
        keep_text: bool,
        ended: Callable[[Exchange, Connection | None], None],
        again: Callable[[Exchange], None],
    ) -> None:
        self.ask, self.due, self.request = ask, due, request
        self.sent = monotonic()
        self.reply = Reply(keep_text=keep_text)
        self.connection: Connection | None = None
        self.kept = False
        self.retried = False
        self.failure: tuple[Failure | None, str] = (None, "")
        self.stopped_at = 0.0
        self._ended, self._again = ended, again

    @property
    def latest(self) -> float:
        """When something last came, else when it was sent."""
        return self.reply.at or self.sent

    def go(self, connection: Connection, *, kept: bool) -> None:
        """Send it over a connection, which may be one that was kept from an earlier request."""
        self.connection, self.kept = connection, kept
        connection.user = self
        if connection.transport is not None:
            connection.transport.write(self.request)

    def over(self, connection: Connection) -> None:
        """End, as the reply is over."""
        del connection
        self._end(judge(self.reply, None))

    def lost(self, connection: Connection, why: str) -> None:
        """End, or begin again, as the connection is gone."""
        if self.kept and not self.reply.size and not self.retried:
            connection.user = None
            self.retried = True  # the server closed it just then; that happens to every client
            self._again(self)
            return
        if not why:
            self.reply.end_of_file()
        self._end(judge(self.reply, why or None))

    def give_up(self, failure: Failure, detail: str) -> None:
        """End it as failed, unless all of the answer is there."""
        found, _ = judge(self.reply, None)
        whole = found is None and self.reply.done is not None
        self._end((None, "the connection stayed open after [DONE]") if whole else (failure, detail))

    def _end(self, verdict: tuple[Failure | None, str]) -> None:
        self.failure = verdict
        self.stopped_at = monotonic()
        connection, self.connection = self.connection, None
        if connection is not None and not (self.reply.keep_alive and self.reply.wrong is None):
            connection.close()
            connection = None
        elif connection is not None:
            connection.user = None
        self.reply.release()
        self._ended(self, connection)

    def answer(self, origin: float, *, warmup: bool, keep_text: bool) -> Answer:
        """Return it as a line of the run, times from `origin`."""
        reply, ask = self.reply, self.ask
        failure, detail = self.failure
        tokens, tokens_from, doubt = _tokens(reply, ask)
        return Answer(
            number=ask.number,
            due=self.due - origin,
            sent=self.sent - origin,
            ended=(self.stopped_at if failure in _NOTICED else reply.done or reply.at) - origin,
            shape=ask.shape,
            session=ask.session,
            turn=ask.turn,
            warmup=warmup or ask.warmup,
            first=None if reply.first is None else reply.first - origin,
            last=None if reply.last is None else reply.last - origin,
            gaps=reply.gaps,
            prompt_tokens=reply.usage.prompt_tokens if reply.usage else None,
            cached_tokens=_cached(reply),
            output_tokens=tokens,
            tokens_from=tokens_from,
            max_tokens=ask.max_tokens,
            status=reply.status,
            finish=reply.finish,
            failure=failure,
            detail=(detail or doubt)[:_DETAIL],
            replica=_text(reply, b"x-headrace-replica"),
            held=_seconds(reply, b"x-headrace-held-ms"),
            queued=_seconds(reply, b"x-headrace-queued-ms"),
            text="".join(reply.text or ()) if keep_text else "",
        )


def _tokens(reply: Reply, ask: Ask) -> tuple[int | None, str, str]:
    """Return the answer's tokens, who counted, and why the engine's count is not believed.

    An event with text is a token at least, and no engine gives more tokens than were allowed in
    fewer events than that.
    """
    told = reply.usage.completion_tokens if reply.usage else None
    if told is None:
        return (reply.events if reply.status else None), "events", ""
    if told < reply.plain_events or reply.plain_events <= ask.max_tokens < told:
        doubt = f"usage says {told} tokens, and {reply.events} events came"
        return reply.events, "events", doubt
    return told, "usage", ""


def _cached(reply: Reply) -> int | None:
    details = reply.usage.prompt_tokens_details if reply.usage else None
    return details.cached_tokens if details else None


def _text(reply: Reply, name: bytes) -> str | None:
    value = reply.headers.get(name)
    return None if value is None else value.decode("latin-1")[:_DETAIL]


def _seconds(reply: Reply, name: bytes) -> float | None:
    try:
        return float(reply.headers[name]) / 1000
    except (KeyError, ValueError):
        return None
