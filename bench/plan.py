"""What is measured, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from bench.messages import Job

_SETTLED = 0.3
"""Seconds from the last stream's beginning, and to the first one's end, that are not looked at."""


@dataclass(frozen=True)
class Scenario:
    """One kind of load; all its streams together make at most 10,000 chunks a second."""

    name: str
    what: str
    job: Job

    @property
    def gap_ms(self) -> int:
        """Milliseconds between two chunks of a stream."""
        return round(self.job.gap * 1000)

    @property
    def seconds(self) -> float:
        """How long the load lasts, from the first request to the last chunk."""
        job = self.job
        if job.together:
            return job.arrivals / 10 + job.tokens * job.gap
        return job.arrivals + (job.tokens * job.gap if job.stream_rate else 0)

    @property
    def passing(self) -> tuple[float, float] | None:
        """From when to when, in seconds, the proxy does nothing but pass chunks of open streams on.

        None where requests come and go all the time.
        """
        job = self.job
        if not job.together or job.small_rate or job.big_rate:
            return None
        return job.arrivals / 10 + _SETTLED, job.tokens * job.gap - _SETTLED


def _steady(streams: int, tokens: int, gap: float, arrivals: float) -> Job:
    # Little's law: so many streams are open when they arrive at this rate and last tokens x gap.
    rate = streams / (tokens * gap)
    return Job(
        targets=[],
        streams=streams,
        tokens=tokens,
        gap=gap,
        arrivals=arrivals,
        seed=0,
        stream_rate=rate,
    )


SCENARIOS = (
    Scenario(
        "requests",
        "300 small requests a second, not streamed",
        Job(targets=[], streams=32, tokens=16, gap=0.02, arrivals=3, seed=0, small_rate=300),
    ),
    Scenario("streams-50", "50 streams x 100 chunks, 20 ms apart", _steady(50, 100, 0.02, 5)),
    Scenario("streams-200", "200 streams x 100 chunks, 20 ms apart", _steady(200, 100, 0.02, 5)),
    Scenario("streams-1000", "1,000 streams x 40 chunks, 100 ms apart", _steady(1000, 40, 0.1, 6)),
    Scenario(
        "big-prompts",
        "50 streams, 20 ms apart, while 4 bodies of 1 MiB a second are posted",
        Job(
            targets=[],
            streams=50,
            tokens=225,
            gap=0.02,
            arrivals=4.5,
            seed=0,
            together=True,
            big_rate=4,
            big_bytes=1 << 20,
        ),
    ),
)

PASSING = Scenario(
    "passing-200",
    "200 streams x 300 chunks, 20 ms apart, all open at once",
    Job(targets=[], streams=200, tokens=300, gap=0.02, arrivals=5, seed=0, together=True),
)
ANSWERS = next(scenario for scenario in SCENARIOS if scenario.name == "streams-200")
TOGETHER = (PASSING, ANSWERS)
"""What proxies are measured with that run at once: chunks alone, and with their requests."""

QUICK = ("requests", "streams-200", "passing-200", "big-prompts")
"""The scenarios of a first impression."""


def shortened(scenario: Scenario) -> Scenario:
    """Return the scenario about half as long, with as many streams at once."""
    job = scenario.job
    # Shorter streams would be another load, and a steady load needs one stream's time to build up;
    # only the streams of `together` simply span the run.
    tokens = job.tokens // 2 if job.together else job.tokens
    build_up = job.tokens * job.gap if job.stream_rate else 0.0
    arrivals = max(job.arrivals / 2, build_up)
    return replace(scenario, job=msgspec.structs.replace(job, arrivals=arrivals, tokens=tokens))


def order(names: Sequence[str], repeat: int) -> list[str]:
    """Return the names rotated by the repeat's number, so that nobody is always first."""
    turn = repeat % len(names) if names else 0
    return [*names[turn:], *names[:turn]]
