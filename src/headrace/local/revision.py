"""One revision of a deployment: a blueprint, how many replicas of it there should be, its crashes.

Outside of rollouts a deployment has one; during a rollout the old and the new one stand side by
side, and a new one that cannot start must not keep the old one from starting again.
`replicaset.py` carries both out.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from headrace.local.blueprint import Blueprint
from headrace.local.outcome import Outcome
from headrace.local.restarts import HEALTHY, Restarts


@dataclass
class Revision:
    """`crashes` counts wrong answers too; `last_words` are the engine's at the last of them."""

    blueprint: Blueprint
    wanted: int = 0
    restarts: Restarts = field(default_factory=Restarts)
    crashes: int = 0
    last_words: str = ""
    proven: set[int] = field(default_factory=set)
    """Slots whose replica has passed its watch."""

    def crashed(self, outcome: Outcome) -> None:
        """Count a crash: the next start waits longer."""
        self.crashes += 1
        self.last_words = outcome.words
        chance = random.random()  # noqa: S311 - it spreads restarts, it guards nothing
        self.restarts = self.restarts.crashed(
            time.monotonic(), was_ready=outcome.was_ready, chance=chance
        )

    def ready(self) -> None:
        """Note that a replica of it got ready: it can start."""
        if self.restarts.unready:
            self.restarts = self.restarts.ready()

    def retry(self) -> None:
        """Forget all crashes when it comes to starting again."""
        self.restarts = self.restarts.healthy()

    def calm(self) -> None:
        """Forget crashes that were followed by long health."""
        times = self.restarts.times
        if times and not self.restarts.given_up and time.monotonic() - times[-1] > HEALTHY:
            self.retry()
