"""A deployment's whole plan: what fits, how fast it is, how many replicas, what that costs.

All arithmetic is `capacity`'s; here its answers for one deployment come together. `page.py` shows
them in a terminal, `report.py` writes them for programs, `explain.py` answers for one flag.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from headrace.capacity.cost import Cost, RouteLoad, Seconds, by_route, cost
from headrace.capacity.cost_curve import alone, one_at_a_time
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.fits import Fit
from headrace.capacity.lengths import Lengths
from headrace.capacity.replicas import (
    BUSY_WINDOWS,
    SCRAPE,
    Reaction,
    Replicas,
    for_rate,
    for_traffic,
    growth,
)
from headrace.capacity.roofline import Batch, Roofline, chunk_pairs
from headrace.capacity.steady import State, Steady
from headrace.capacity.threshold import Growing, Threshold, threshold
from headrace.capacity.waste import Context, Waste, contexts, waste
from headrace.planning.auto import settle
from headrace.planning.flags import Flag
from headrace.planning.loads import DECLARED
from headrace.planning.standing import Beside, Grounds
from headrace.planning.subject import Subject

ALMOST = 1 - 1e-9
"""Of the capacity: beyond it there is no state."""
LEAST_WAIT = 0.1
"""Of the TTFT promised, where a prompt alone takes nearly all of it."""
HALF = 0.5
"""Of the highest rate: where a replica is looked at if no rate is known."""


@dataclass(frozen=True)
class Plan:
    """One deployment; `chosen` are the flags that its file left open, filled in in `subject`."""

    subject: Subject
    chosen: tuple[Flag, ...]

    @property
    def name(self) -> str:
        """The deployment's."""
        return self.subject.name

    @property
    def fit(self) -> Fit:
        """What memory says."""
        return self.subject.fit

    @property
    def efficiency(self) -> Efficiency:
        """What all times rest on; its label goes wherever one is shown."""
        return self.subject.efficiency

    @property
    def lengths(self) -> Lengths:
        """Of the requests of all routes."""
        return self.subject.lengths

    @cached_property
    def waste(self) -> Waste:
        """What paging saves against reserving max_model_len for each request."""
        setup = self.subject.setup
        return waste(self.subject.traffic, setup.max_model_len, setup.block)

    @cached_property
    def contexts(self) -> tuple[Context, ...]:
        """What other limits on the length would mean."""
        longest = self.subject.architecture.context
        return contexts(self.fit.cache, self.subject.traffic, longest)

    @property
    def steady(self) -> Steady:
        """One replica at any rate."""
        return self.subject.steady

    @property
    def capacity(self) -> float:
        """Requests a second that one replica takes within the SLO; 0 if it keeps it at no rate."""
        return self.subject.capacity

    @cached_property
    def grounds(self) -> Grounds:
        """What its settings rest on: the results beside its file."""
        subject, chosen = self.subject, frozenset(one.name for one in self.chosen)
        beside = Beside(subject.file.path)
        return Grounds(subject.file, subject.name, subject.deployment, beside, chosen)

    @cached_property
    def lone(self) -> State | None:
        """One request at a time; None if not even one fits."""
        return alone(self.steady)

    @cached_property
    def replicas(self) -> Replicas | None:
        """How many; None without a rate, or if the SLO is kept at no rate."""
        rate = self.subject.rate
        if rate is None or self.capacity <= 0:
            return None
        if self._recorded:
            return for_traffic(self.subject.traffic, self.capacity, self.wait, self.reaction)
        return self._for_rate(rate)

    def _for_rate(self, rate: float) -> Replicas:
        """Return enough for the SLO at a steady rate, and for bursts, which only wait longer."""
        new = self.growth
        burst = for_rate(rate, self.steady.highest_rate, self.wait, self.reaction, new)
        enough = math.ceil((rate + new) / self.capacity)
        if enough <= burst.most:
            return burst
        why = (
            (
                f"{rate:g} requests/s, {rate + new:.3g} at the peak, are"
                f" {(rate + new) / self.capacity:.2f} replicas of {self.capacity:.3g} requests/s"
                f" within {self.subject.slo}"
            ),
            *burst.why[1:],
        )
        return Replicas(enough, enough, float(enough), why)

    @property
    def wait(self) -> float:
        """Seconds that a request may wait for a replica: what TTFT leaves beside the prefill."""
        alone_ = self.lone.ttft_p95 if self.lone else 0.0
        return max(self.subject.slo.ttft - alone_, LEAST_WAIT * self.subject.slo.ttft)

    @property
    def _recorded(self) -> bool:
        return all(one.traffic.source != DECLARED for one in self.subject.loads)

    @cached_property
    def growth(self) -> float:
        """Requests a second by which the rate grows at most while a replica starts.

        As seen in a trace; and by chance alone, as 1 of 100 Poisson counts of that time do.
        """
        delay = self.reaction.delay
        chance = BUSY_WINDOWS * math.sqrt((self.subject.rate or 0.0) / delay)
        return max(chance, growth(self.subject.traffic, delay) if self._recorded else 0.0)

    @property
    def reaction(self) -> Reaction:
        """How late help comes; the cold start is assumed until one was recorded.

        A window upwards that is longer than a sync has to be over before the HPA acts.
        """
        found = self.subject.cold_start.reaction
        window = self.subject.deployment.scaling.up.window or 0.0
        return replace(found, notice=max(found.notice, SCRAPE + window))

    @cached_property
    def state(self) -> State | None:
        """A replica at its share of the rate, or half-way to its capacity where none is known."""
        if self.replicas is not None and self.subject.rate is not None:
            each = self.subject.rate / self.replicas.most  # more than it takes in a short trace
            return self.steady.at(min(each, self.capacity * ALMOST))
        return self.steady.at(HALF * self.capacity) if self.capacity else self.lone

    @cached_property
    def threshold(self) -> Threshold | None:
        """When scaling should start more; None where nothing is known of the load."""
        if self.replicas is None or self.state is None:
            return None
        load = Growing(
            replicas=self.replicas.floor,
            capacity=self.capacity,
            residence=self.state.e2e,
            growth=self.growth,
            wait=self.wait,
        )
        return threshold(load, self.reaction)

    @property
    def hourly(self) -> float:
        """What one replica costs an hour; ranks of a CPU share the machine whose price it is."""
        place, layout = self.subject.place, self.subject.setup.layout
        return place.price * (1 if place.accelerator.kind == "cpu" else layout.accelerators)

    @cached_property
    def cost(self) -> Cost | None:
        """What the planned replicas cost at the rate; None without a rate."""
        rate = self.subject.rate
        if self.replicas is None or rate is None:
            return None
        hour = self.hourly * self.replicas.mean
        return cost(hour, rate, self.lengths.prompt, self.lengths.output)

    @cached_property
    def batching(self) -> tuple[Cost, Cost] | None:
        """The cost one request at a time, and at the capacity of continuous batching."""
        single = one_at_a_time(self.steady, self.lengths, self.hourly)
        if single is None or not self.capacity:
            return None
        full = cost(self.hourly, self.capacity, self.lengths.prompt, self.lengths.output)
        return single, full

    @property
    def gain(self) -> float | None:
        """How many requests batching serves in the time of one at a time, within the SLO."""
        if self.lone is None or not self.capacity:
            return None
        return self.capacity * self.lone.e2e

    @cached_property
    def by_route(self) -> dict[str, Cost]:
        """What each route costs, by the accelerator time that it takes."""
        if self.cost is None or self.state is None:
            return {}
        return by_route(self.cost.hour, list(self._route_loads()), self._seconds)

    def _route_loads(self) -> Iterator[RouteLoad]:
        for one in self.subject.loads:
            if one.rate:
                prompt, output = one.traffic.prompts.mean(), one.traffic.outputs.mean()
                yield RouteLoad(one.route, one.rate, float(prompt), float(output))

    @property
    def _seconds(self) -> Seconds:
        """Return what a token of a prompt and one of an answer take at the planned batch."""
        roofline = Roofline(self.subject.setup, self.efficiency)
        prompt = self.lengths.prompt
        read = roofline.step(Batch(prompt=prompt, pairs=chunk_pairs(int(prompt))))
        crowd = max(1.0, self.state.concurrency if self.state else 1.0)
        decoded = roofline.step(Batch(crowd, crowd * self.lengths.context))
        return Seconds(read / prompt, decoded / crowd)


def plan(subject: Subject) -> Plan:
    """Return the plan of a deployment, what it leaves open chosen; PlanError if nothing fits."""
    settled, chosen = settle(subject)
    return Plan(settled, chosen)
