"""What one client saw of one request: a line of a run's `requests.jsonl`.

Times are in seconds from the run's beginning, on the client's monotonic clock. Definitions are
those of vLLM's own benchmark where it has them: TTFT from sending to the first token, TPOT (last -
first) / (tokens - 1), ITL the gaps between events with text. Beside each time from sending stands
the one from when the request was due: a client that is late must not flatter the server.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Failure(StrEnum):
    """Why a request has no whole answer; latencies never mix with those of whole answers."""

    UNREACHABLE = "unreachable"
    """No connection."""
    REFUSED = "refused"
    """An HTTP status of 400 or more; `status` has it."""
    ERROR = "error"
    """An error inside a stream that had begun."""
    RESET = "reset"
    """The connection broke before the answer's end."""
    CUT = "cut"
    """The answer ended without a finish reason or `[DONE]`, or was aborted."""
    SILENT = "silent"
    """Nothing came for longer than the client's patience."""
    RUBBISH = "rubbish"
    """Not HTTP, not server-sent events, not JSON, or not an answer."""
    EMPTY = "empty"
    """A whole answer without a single token."""
    STOPPED = "stopped"
    """The run was ended while this request was in flight."""


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request and what came of it; `failure` None means a whole answer.

    `due` is when it should have been sent, `sent` when the client took it up (connecting, where no
    connection was free, comes after that, as in vLLM's benchmark), `first` when the first event
    with text came, `last` when the last one or the finish reason did, `ended` when the answer was
    over. `gaps` are the seconds between the events from `first` to `last`. `output_tokens` are by
    the engine's usage where it tells (`tokens_from` "usage"), else as many as events came
    ("events").
    """

    number: int
    due: float
    sent: float
    ended: float
    shape: str = ""
    session: int | None = None
    turn: int = 0
    warmup: bool = False
    first: float | None = None
    last: float | None = None
    gaps: list[float] = msgspec.field(default_factory=list)
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    tokens_from: str = "usage"
    max_tokens: int = 0
    status: int | None = None
    finish: str | None = None
    failure: Failure | None = None
    detail: str = ""
    """What went wrong, in words, at most 200 characters."""
    replica: str | None = None
    """As the gateway's header or comment names it; None elsewhere."""
    held: float | None = None
    """Seconds that the gateway says the request waited for a ready replica."""
    queued: float | None = None
    """Seconds that the gateway says it waited for room."""
    text: str = ""
    """The answer, only where the run was told to keep texts."""

    @property
    def lag(self) -> float:
        """How late it was sent."""
        return self.sent - self.due

    @property
    def ttft(self) -> float | None:
        """From sending to the first token."""
        return None if self.first is None else self.first - self.sent

    @property
    def ttft_due(self) -> float | None:
        """From when it was due to the first token."""
        return None if self.first is None else self.first - self.due

    @property
    def tpot(self) -> float | None:
        """(last - first) / (tokens - 1); None for answers of one token."""
        if self.first is None or self.last is None or (self.output_tokens or 0) < 2:  # noqa: PLR2004 - the formula needs two
            return None
        return (self.last - self.first) / ((self.output_tokens or 0) - 1)

    @property
    def e2e(self) -> float:
        """From sending to the end."""
        return self.ended - self.sent

    @property
    def e2e_due(self) -> float:
        """From when it was due to the end."""
        return self.ended - self.due
