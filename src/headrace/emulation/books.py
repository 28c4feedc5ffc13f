"""What one twin counts, by canonical name; each engine has its own names for it (`faces/`).

`exposition.py` writes it as Prometheus text.
"""

from __future__ import annotations

import time
from bisect import bisect_left

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_TOKENS = (1.0, 8.0, 32.0, 128.0, 512.0, 2048.0, 8192.0, 32768.0)


class Histogram:
    """Counts by upper bound; prometheus_client's own takes too long for every token."""

    def __init__(self, bounds: tuple[float, ...] = _SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class Books:
    """Requests, tokens and times (seconds) of one twin."""

    def __init__(self) -> None:
        self.arrived = 0
        self.preempted = 0
        self.running = 0
        self.waiting = 0
        self.running_seen = 0
        """`running` when a request last completed, which is all that some engines show."""
        self.waiting_seen = 0
        self.kv_used = self.kv_tokens = 0
        """Tokens in the KV cache, and its size; brought up to date when metrics are read."""
        self.kv_usage = 0.0
        """0 to 1; likewise."""
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_queries = self.prefix_hits = 0
        """Prompt tokens looked up in the prefix cache, and found there."""
        self.zero = 0
        """For what an engine counts and a twin never has."""
        self.rejected = {"queued_reqs": 0}
        """Requests that found the queue full, by the limit."""
        self.finished = dict.fromkeys(("stop", "length", "abort", "error", "repetition"), 0)
        self.ttft, self.itl, self.tpot = Histogram(), Histogram(), Histogram()
        self.e2e, self.queued = Histogram(), Histogram()
        self.prompt_length, self.answer_length = Histogram(_TOKENS), Histogram(_TOKENS)

    @property
    def unfinished(self) -> int:
        """Requests that run or wait."""
        return self.running + self.waiting

    @property
    def prefix_rate(self) -> float:
        """Share of prompt tokens that were cached."""
        return self.prefix_hits / self.prefix_queries if self.prefix_queries else 0.0

    @property
    def prefix_misses(self) -> int:
        """Prompt tokens that were not cached."""
        return self.prefix_queries - self.prefix_hits

    @property
    def kv_free(self) -> int:
        """Tokens that the KV cache has room for."""
        return max(0, self.kv_tokens - self.kv_used)

    @property
    def now(self) -> float:
        """The wall clock, in seconds; some series have it as their value."""
        return time.time()

    @property
    def succeeded(self) -> int:
        """Requests that ended by themselves."""
        return self.finished["stop"] + self.finished["length"]

    @property
    def finished_well(self) -> dict[str, int]:
        """Requests that ended by themselves, by reason."""
        return {reason: self.finished[reason] for reason in ("stop", "length")}

    @property
    def failed(self) -> int:
        """Requests that ended in an error."""
        return self.finished["error"]

    @property
    def aborted(self) -> int:
        """Requests that were cut or whose client left."""
        return self.finished["abort"]

    def ended(self, reason: str, seconds: float, tokens: int, since_first: float) -> None:
        """Count the end of a request: its age, its tokens, and the time since the first one."""
        self.finished[reason] += 1
        self.e2e.observe(seconds)
        self.answer_length.observe(tokens)
        if tokens > 1:
            self.tpot.observe(since_first / (tokens - 1))
        self.running_seen, self.waiting_seen = self.running, self.waiting
