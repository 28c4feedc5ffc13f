"""What proxies cost when they share one core, one load and the same seconds: their ratio.

Measured one after the other, what a proxy costs differs by a fifth from run to run, with what else
the host does to the processor's caches and clock. Here all of them run at once, pinned to the same
core, and each takes every n-th request: what disturbs one disturbs all. Two equal gateways differ
by under 1 % like this. It is dearer for everybody, as each finds the caches full of the others.
`verdict.py` judges by it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import msgspec

from bench.contenders import Contender
from bench.measure import Ends, ends, proxy, used
from bench.messages import Outcome
from bench.plan import Scenario, order
from bench.processes import Child, Cores, MeasureError
from bench.usage import cpu_seconds

_LOOKS = 10  # a tenth of a second apart: fewer span too little
Look = tuple[float, list[float]]
"""Seconds since the start, and the CPU seconds of each proxy by then."""


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """`costs` are CPU seconds for each chunk, by contender; `late` the load's p99, in seconds.

    `invalid` has the errors, for which it may not be used. A late load may: all had the same.
    """

    scenario: str
    repeat: int
    costs: dict[str, float]
    late: float
    invalid: str


def measure_together(
    scenario: Scenario, takers: Sequence[Contender], repeat: int, cores: Cores
) -> Together:
    """Run a scenario once against all takers at once; MeasureError as from `measure`."""
    by_name = {taker.name: taker for taker in takers}
    with ends(scenario, cores) as between, contextlib.ExitStack() as stack:
        children: dict[str, Child] = {}
        targets: list[int] = []
        for name in order(list(by_name), repeat):
            child, ports = stack.enter_context(proxy(by_name[name], between, cores))
            if child is not None:
                children[name] = child
                targets += ports
        between.prepare(scenario, targets, repeat)
        looks, outcome = _load(scenario, between, list(children.values()))
        late = max(outcome.lag_p99, between.report().lag_p99)
    return Together(
        scenario=scenario.name,
        repeat=repeat,
        costs=dict(zip(children, costs(scenario, looks, outcome.chunks), strict=True)),
        late=late,
        invalid=outcome.failed,
    )


def _load(
    scenario: Scenario, between: Ends, children: Sequence[Child]
) -> tuple[list[Look], Outcome]:
    pids = [used(child).pids for child in children]
    begun = time.monotonic()
    looks: list[Look] = []

    def look() -> None:
        looks.append((time.monotonic() - begun, [sum(map(cpu_seconds, each)) for each in pids]))

    look()
    outcome = between.load(scenario, look)
    look()
    return looks, outcome


def costs(scenario: Scenario, looks: Sequence[Look], chunks: int) -> list[float]:
    """Return the CPU seconds of each proxy for each chunk of its share of the load."""
    if scenario.passing is not None:
        begin, end = scenario.passing
        looks = [look for look in looks if begin <= look[0] <= end]
        if len(looks) < _LOOKS:
            raise MeasureError(
                "the proxies' CPU time was hardly looked at: the machine is too busy"
            )
    (earlier, before), (later, after) = looks[0], looks[-1]
    if scenario.passing is not None:
        chunks = round(scenario.job.streams * (later - earlier) / scenario.job.gap)
    share = chunks / len(before)
    return [(more - less) / share for less, more in zip(before, after, strict=True)]
