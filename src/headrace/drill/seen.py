"""What one client saw of one answer: the evidence that `judge.py` judges.

`reading.py` fills it from bytes and their times. Times are in seconds on one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from headrace.drill.asks import Ask


class End(StrEnum):
    """How the connection ended."""

    CLOSED = "closed"
    RESET = "reset"
    SILENT = "silent"
    """The client gave up after its deadline."""
    NO_CONNECTION = "no connection"


class Usage(NamedTuple):
    """Token counts as the answer told them."""

    prompt: int
    completion: int
    total: int


@dataclass(slots=True)
class Seen:
    """One answer; `complete` means that its HTTP framing came to its proper end."""

    ask: Ask
    began: float
    ended: float
    end: End
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    heads: set[tuple[str, str, str, int]] = field(default_factory=set)
    """Every (id, object, model, created) that events carried."""
    roles: list[str] = field(default_factory=list)
    indices: set[int] = field(default_factory=set)
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    prompt_ids: list[int] | None = None
    times: list[float] = field(default_factory=list)
    """When each event with a token came."""
    finishes: list[str] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    done: int = 0
    errors: list[str] = field(default_factory=list)
    comments: list[tuple[float, str]] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    """What no event should be, or came where it should not."""

    @property
    def continuations(self) -> list[tuple[float, str]]:
        """When the gateway said that another replica goes on, and in which words."""
        return [one for one in self.comments if one[1].startswith("continued by ")]

    @property
    def gaps(self) -> list[float]:
        """Seconds between each two token events."""
        return [after - before for before, after in pairwise(self.times)]

    @property
    def replicas(self) -> list[tuple[float, str]]:
        """Who served it, from when on, as the answer itself says."""
        first = self.headers.get("x-headrace-replica")
        known = [(self.began, first)] if first else []
        moves = ("served by ", "continued by ")
        told = [(at, words) for at, words in self.comments if words.startswith(moves)]
        return known + [(at, words.split()[2]) for at, words in told]
