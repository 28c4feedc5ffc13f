"""What was done to the fleet and what became of it, with times: the story beside the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

import msgspec

from headrace.drill.seen import Seen

EVERYBODY = "*"
"""Who is hit when no replica is spared."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: seconds since the drill began; `who`: a replica, `gateway` or the deployment."""

    at: float
    who: str
    what: str
    done: bool = True
    """Whether the drill did it; otherwise it was seen to happen."""

    def __str__(self) -> str:
        return f"{self.at:8.1f} s  {self.who}: {'' if self.done else '(seen) '}{self.what}"


@dataclass(frozen=True, slots=True)
class Track:
    """What is kept of a stream for its pauses: when it was where; gaps in seconds."""

    began: float
    ended: float
    replicas: tuple[tuple[float, str], ...]
    continued: bool
    longest: float
    usual: float

    def was_at(self, replica: str, at: float) -> bool:
        """Whether that replica served it at that time."""
        if not self.began <= at <= self.ended:
            return False
        so_far = [name for since, name in self.replicas if since <= at]
        return replica == EVERYBODY or so_far[-1:] == [replica]


def track(seen: Seen) -> Track | None:
    """Return a stream's track; None for an answer without two tokens one after the other."""
    gaps = seen.gaps
    if not seen.ask.stream or not gaps:
        return None
    continued = bool(seen.continuations)
    where = tuple(seen.replicas)
    return Track(seen.began, seen.ended, where, continued, max(gaps), median(gaps))


@dataclass
class Timeline:
    """The deeds of one drill in order, each told at once; `hits`: when which replica was harmed."""

    tell: Callable[[str], None]
    begin: float = field(default_factory=monotonic)
    deeds: list[Deed] = field(default_factory=list)
    hits: list[tuple[float, str]] = field(default_factory=list)

    def did(self, who: str, what: str, *, hit: str | None = None) -> None:
        """Note a deed that is done now; `hit` is the replica that it harms."""
        self._add(who, what, done=True)
        if hit is not None:
            self.hits.append((monotonic(), hit))

    def saw(self, who: str, what: str, *, hit: bool = False) -> None:
        """Note what happened by itself; `hit`: it disturbs what runs there."""
        self._add(who, what, done=False)
        if hit:
            self.hits.append((monotonic(), who))

    def disturbed(self, one: Track) -> bool:
        """Whether the harm could reach this stream: it was there then, or was continued."""
        return one.continued or any(one.was_at(who, at) for at, who in self.hits)

    def _add(self, who: str, what: str, *, done: bool) -> None:
        at = round(monotonic() - self.begin, 3)
        self.deeds.append(Deed(at=at, who=who, what=what, done=done))
        self.tell(str(self.deeds[-1]))
