"""What both clients send: the same prompts at the same times, others in every repeat."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

_WORDS = (
    *("river", "mill", "turbine", "water", "gate", "keeper", "stone", "valley", "winter", "pond"),
    *("wheel", "channel", "light", "engineer", "bridge", "morning", "grain", "letter", "roof"),
    *("a", "the", "of", "and", "under", "beside", "without", "before", "slow", "old", "narrow"),
)
_WORDS_EACH = (20, 90)


@dataclass(frozen=True)
class Plan:
    """One repeat: `due` in seconds from its beginning, by gamma arrivals; tokens of each answer."""

    seed: int
    requests: int
    rate: float
    burstiness: float
    tokens: int

    @property
    def prompts(self) -> list[str]:
        """Texts of the repeat; with a prefix cache off, what they have in common is no matter."""
        random = Random(self.seed)
        return [
            f"Story {self.seed}.{number}: "
            + " ".join(random.choices(_WORDS, k=random.randint(*_WORDS_EACH)))
            for number in range(self.requests)
        ]

    @property
    def due(self) -> list[float]:
        """When vLLM's benchmark sends with this seed (`benchmarks/serve.py`, get_request)."""
        np.random.seed(self.seed)  # noqa: NPY002 - theirs draws from the global generator
        theta = 1.0 / (self.rate * self.burstiness)
        gaps = [np.random.gamma(self.burstiness, theta) for _ in range(self.requests)]  # noqa: NPY002 - as above
        sums = np.cumsum(gaps)
        return [float(at) for at in sums * (self.requests / self.rate / sums[-1])]


@dataclass(frozen=True)
class Times:
    """What a client saw in one repeat, by request: all in seconds; `sent` from the first one."""

    ttft: list[float]
    tpot: list[float]
    sent: list[float]
