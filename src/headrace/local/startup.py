"""The phases of a start, from a started process to a replica that has given the known answer.

The engine's log lines name them, and the known prompt is the last (`headrace.gateway.proof`).
`replica.py` begins each and decides what follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.view.status import Phase

FIRST_PHASE = "import"
PROMPT_PHASE = "known prompt"


class Phases:
    """Which start-up phase runs, and how long each one took, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.name = FIRST_PHASE
        self.since = clock()
        self.done: tuple[Phase, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the present phase has run."""
        return self._clock() - self.since if self.name else 0.0

    def begin(self, name: str) -> Phase | None:
        """Start a phase (`""`: none) and return the one that this ends, if any."""
        if name == self.name:
            return None
        ended = Phase(self.name, round(self.seconds, 3)) if self.name else None
        self.done += (ended,) if ended else ()
        self.name, self.since = name, self._clock()
        return ended
