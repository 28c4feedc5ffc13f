"""Measures the baseline: one client, then twice as many each time, up and down again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from headrace.bench.load import Load
from headrace.bench.target import Target
from headrace.bench.workload_order import Length, Shape, WorkloadOrder
from headrace.experiments.baseline import raised
from headrace.experiments.baseline_steps import SLACK, Point, steps_of
from headrace.experiments.busy import while_busy
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.copies import Copy
from headrace.experiments.lab import Lab
from headrace.experiments.settings import Count
from headrace.experiments.turns import grouped, turns


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`most` clients at once; each sends `each` requests, and all together at least `least`.

    Tokens of prompts, and of answers by p50 and p99: alike ones would march in step.
    """

    most: Count = 64
    each: Count = 4
    least: Count = 8
    prompt: Count = 128
    output_p50: Count = 32
    output_p99: Count = 64
    repeats: Count = 2
    seed: int = 1


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Go up until the engine is full or a promise broken, then the same steps down, and so on.

    Where max_num_seqs ends the way up, it goes on in a copy that takes more at once.
    """
    low, high = ladder(settings.most, lab.case.max_num_seqs)
    if lab.standing is not None:
        low, high = low + high, []
    more = Change(raised(settings.most), {"max_num_seqs": settings.most})
    climb = _Climb(lab, settings, points)
    async with lab.endpoint() as where:
        await lab.warm(where, await lab.asks(where, order(settings, 2, 0)))
        full = await climb.up(where, low)
        if full or not high:
            for repeat in range(1, settings.repeats):
                await climb.again(where, low, repeat)
            return
    for change, some in grouped(list(turns((AS_IT_IS, more), settings.repeats))[1:]):
        async with lab.copy(change) as copy:
            await lab.warm(copy.endpoint, await lab.asks(copy.endpoint, order(settings, 2, 0)))
            for repeat in some:
                counts = low if change == AS_IT_IS else high
                climb.copy = None if change == AS_IT_IS else copy
                if repeat == 0:
                    await climb.up(copy.endpoint, counts)
                else:
                    await climb.again(copy.endpoint, counts, repeat)


def ladder(most: int, limit: int | None) -> tuple[list[int], list[int]]:
    """Return the numbers of clients up to a replica's limit, and those beyond it.

    Doubling from 1; the limit itself is one of them.
    """
    counts = {1 << power for power in range(most.bit_length()) if 1 << power <= most}
    if limit is None or limit >= most:
        return sorted(counts), []
    return sorted({one for one in counts if one < limit} | {limit}), sorted(
        one for one in counts if one > limit
    )


@dataclass
class _Climb:
    """The way up, and again down the steps that were taken; `copy` is a changed one, if any."""

    lab: Lab
    settings: Settings
    points: list[Point]
    copy: Copy | None = None

    async def up(self, where: Target, counts: Sequence[int]) -> bool:
        """Measure steps until one more is of no use; return whether that came to be."""
        for clients in counts:
            self.points.append(await self._step(where, clients, 0))
            if _enough(self.points, self.lab):
                return True
        return False

    async def again(self, where: Target, counts: Sequence[int], repeat: int) -> None:
        """Measure the steps that were taken once more, downwards in odd repeats."""
        taken = [one for one in counts if any(point.clients == one for point in self.points)]
        for clients in taken if repeat % 2 == 0 else taken[::-1]:
            self.points.append(await self._step(where, clients, repeat))

    async def _step(self, where: Target, clients: int, repeat: int) -> Point:
        lab, settings = self.lab, self.settings
        count = max(settings.least, settings.each * clients)
        asks = await lab.asks(where, order(settings, count, 1000 * repeat + clients))
        load = Load(concurrency=clients, exact_length=True)
        run, found = await lab.run(where, asks, load, f"{clients:03}-clients-{repeat + 1}")
        oracle = lab.oracle(asks, self.copy)
        return Point(
            clients=clients,
            repeat=repeat,
            run=while_busy(run, found, clients),
            predicted=oracle.closed_loop(clients) if oracle else None,
            raised=settings.most if self.copy else None,
        )


def _enough(points: Sequence[Point], lab: Lab) -> bool:
    """Whether the last step broke a promise, or was hardly better than the one before."""
    steps = steps_of(points)
    if not steps[-1].keeps(lab.case):
        return True
    return len(steps) > 1 and steps[-1].tokens < (1 + SLACK) * steps[-2].tokens


def order(settings: Settings, count: int, part: int) -> WorkloadOrder:
    """Return the requests of a step; `part` keeps its prompts apart from those of others."""
    shape = Shape(
        "baseline",
        Length(settings.prompt, settings.prompt),
        Length(settings.output_p50, settings.output_p99),
    )
    return WorkloadOrder(shapes=(shape,), count=count, seed=1_000_003 * settings.seed + part)
