"""Turns in figures: time to first token, what was cached, how unevenly replicas were used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.fleet.drive import Turn
from bench.stats import percentile

HEAD = (
    f"{'':<28}{'turns':>7}{'failed':>8}{'TTFT p50':>10}{'p95':>9}{'p99':>9}{'mean':>9}"
    f"{'cached':>8}{'requests':>10}{'prefill':>9}"
)
"""The last two: the largest replica's share by the mean share."""


@dataclass(frozen=True)
class Figures:
    """What some turns came to; times in seconds, `cached` a share of the prompt tokens.

    `requests` and `prefill` are imbalances: of the number of requests and of the uncached prompt
    tokens of the busiest replica to the mean of all replicas (1: even).
    """

    turns: int
    failed: int
    p50: float
    p95: float
    p99: float
    mean: float
    cached: float
    requests: float
    prefill: float

    def row(self, name: str) -> str:
        """Return a line of the table."""
        times = f"{_ms(self.p50):>10}{_ms(self.p95):>9}{_ms(self.p99):>9}{_ms(self.mean):>9}"
        ends = f"{self.cached:>8.0%}{self.requests:>10.2f}{self.prefill:>9.2f}"
        return f"{name:<28}{self.turns:>7}{self.failed:>8}{times}{ends}"


def figures(turns: Sequence[Turn], replicas: int) -> Figures:
    """Return the figures of some turns that `replicas` could have answered."""
    good = [turn.answer for turn in turns if not turn.answer.wrong]
    times = sorted(answer.ttft for answer in good if answer.ttft is not None)
    asked, cached = sum(a.prompt for a in good), sum(a.cached for a in good)
    requests, prefill = Counter[str](), Counter[str]()
    for answer in good:
        requests[answer.replica] += 1
        prefill[answer.replica] += answer.prompt - answer.cached
    p50, p95, p99 = (percentile(times, p) if times else 0.0 for p in (50, 95, 99))
    return Figures(
        turns=len(turns),
        failed=len(turns) - len(good),
        p50=p50,
        p95=p95,
        p99=p99,
        mean=sum(times) / len(times) if times else 0.0,
        cached=cached / asked if asked else 0.0,
        requests=imbalance(requests, replicas),
        prefill=imbalance(prefill, replicas),
    )


def imbalance(shares: Counter[str], replicas: int) -> float:
    """Return the largest share by the mean share, replicas that got nothing included."""
    whole = sum(shares.values())
    return max(shares.values()) * replicas / whole if whole else 0.0


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
