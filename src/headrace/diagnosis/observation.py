"""What was seen of one deployment for a while: all that a diagnosis rests on.

Times are in seconds, on one clock whose zero is the beginning of the observation; what came before
has negative times. A figure that nobody could see is None, which is never 0: a rule that needs it
then says nothing. Whoever observes lists in `unseen` what it did not look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    GONE = "gone"
    """The client hung up."""
    REFUSED = "refused"
    """It never reached a replica."""
    FAILED = "failed"
    """No answer, half an answer, or an error from behind the gateway."""
    TIMEOUT = "timeout"
    """Somebody's time for one request was over; a 504."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One finished request; `duration` is from its arrival to its end.

    Its waits: `held` for a ready replica, `queued` for room, `engine` from being given to an engine
    to the first token, `engine_queue` the part of that in the engine's own queue. `ttft` is all of
    these. `stalled` is the time in which the client did not take what was there for it,
    `longest_gap` the longest silence between two tokens. `left` are the replicas that it was taken
    away from. `sent_away`: the first that it lost would not have it, or was to be left, as one that
    drains. `promised_*` is what its users were promised.
    """

    at: float
    duration: float
    outcome: Outcome = Outcome.OK
    replica: str | None = None
    held: float | None = None
    queued: float | None = None
    engine: float | None = None
    engine_queue: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    longest_gap: float | None = None
    stalled: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    left: tuple[str, ...] = ()
    sent_away: bool = False
    error: str = ""
    promised_ttft: float | None = None
    promised_tpot: float | None = None

    @property
    def ended(self) -> float:
        """When it was over."""
        return self.at + self.duration


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at an engine's metrics page; counters count since the engine began.

    `assigned` is what the gateway had there at that moment. `absent` names what an engine of this
    version should show and this page does not; `error` says why there is no page.
    """

    at: float
    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
    preemptions: float | None = None
    prefix_hits: float | None = None
    prefix_queries: float | None = None
    generated: float | None = None
    assigned: int | None = None
    absent: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One engine: its state and age at the end of the observation.

    It has `room` for so many requests at once. `cpu` is how many cores its processes used,
    `starved` the share (0 to 1) of the time in which they could have run and got no core. Only
    replicas of the same `deployment` are its peers: a run may see several, as variants of a route.
    """

    name: str
    deployment: str | None = None
    state: str | None = None
    age: float | None = None
    room: int | None = None
    in_flight: int | None = None
    cpu: float | None = None
    starved: float | None = None
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One look at the gateway: requests that wait for a ready replica, for room, that run there.

    `stalled` counts clients that do not take what is there for them.
    """

    at: float
    held: int | None = None
    queued: int | None = None
    running: int | None = None
    stalled: int | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the engines run, on average over the observation; all in cores.

    `others` is what processes took that are not the fleet's, `by` the busiest of them by name;
    `idle` what nobody took, `stolen` what the hypervisor gave to other machines.
    """

    cores: int
    others: float | None = None
    idle: float | None = None
    stolen: float | None = None
    by: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something in the life of a replica, as `kind` (started, ready, crashed, …) and in words.

    `told`: it ended, or answered nothing, as an engine does that somebody else told to stop.
    """

    at: float
    kind: str
    subject: str
    text: str = ""
    told: bool = False


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """What was not looked at, or said nothing, and how to have it seen."""

    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One deployment for `seconds`; `earlier` are requests from before, to compare with.

    Where a load generator measured, `client_mean` and `gateway_mean` are the mean seconds of whole
    answers as it saw them and as the gateway did, and `sender` is the share (0 to 1) of a core that
    the busiest of its processes used.
    """

    name: str
    seconds: float
    requests: tuple[Request, ...] = ()
    earlier: tuple[Request, ...] = ()
    replicas: tuple[Replica, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    machine: Machine | None = None
    events: tuple[Event, ...] = ()
    client_mean: float | None = None
    gateway_mean: float | None = None
    sender: float | None = None
    unseen: tuple[Unseen, ...] = ()
