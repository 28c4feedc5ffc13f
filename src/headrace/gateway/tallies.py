"""Counters and histograms that cost little more than an addition, for what each request counts.

Those of `prometheus_client` take a lock for each number, because any thread may count. Here only
the event loop does, and it reads them too: no locks. What a scrape sees is the same.
`metrics.py` names them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

T = TypeVar("T")


class Count:
    """A number that only grows."""

    __slots__ = ("created", "value")

    def __init__(self) -> None:
        self.created = time.time()
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add to it."""
        self.value += amount


class Spread:
    """How values spread over buckets; `bounds` are their upper ends, ascending, without the last.

    `counts` has one more: what is above all bounds.
    """

    __slots__ = ("bounds", "counts", "created", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.created = time.time()
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one on a bound is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class _Family(Collector, Generic[T]):
    """What has one name, by the values of its labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str], make: Callable[[], T]) -> None:
        self._told = (name, text)
        self._names = tuple(labels)
        self._make = make
        self._children: dict[tuple[str, ...], T] = {}

    def labels(self, *values: str) -> T:
        """Return the one with these values, made at 0 if need be: keep it."""
        found = self._children.get(values)
        if found is None:
            found = self._children[values] = self._make()
        return found


class Counter(_Family[Count]):
    """Counts by labels; the name ends in `_total`."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        super().__init__(name, text, labels, Count)

    def collect(self) -> Iterator[Metric]:
        """Build what a scrape sees."""
        family = CounterMetricFamily(*self._told, labels=self._names)
        for values, one in self._children.items():
            family.add_metric(values, one.value, created=one.created)
        yield family


class Histogram(_Family[Spread]):
    """Spreads by labels, all with the same bounds."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        super().__init__(name, text, labels, lambda: Spread(bounds))
        self._ends = [*(repr(float(bound)) for bound in bounds), "+Inf"]

    def collect(self) -> Iterator[Metric]:
        """Build what a scrape sees: each bucket has all below its bound."""
        name, text = self._told
        family = HistogramMetricFamily(name, text, labels=self._names)
        for values, one in self._children.items():
            buckets = list(zip(self._ends, map(float, accumulate(one.counts)), strict=True))
            family.add_metric(values, buckets, one.sum)
            labels = dict(zip(self._names, values, strict=True))
            family.add_sample(f"{name}_created", labels, one.created)
        yield family
