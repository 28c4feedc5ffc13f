"""One configuration weighed: what it needs, how fast it is, what it costs, or why it will not do.

`choose.py` makes one for each accelerator, layout and quantization, and ranks them; every time in
them is an estimate whose error is `Efficiency.error` and whose label goes wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.capacity.cost import Cost, cost
from headrace.capacity.cost_curve import alone
from headrace.capacity.efficiency import UNCALIBRATED, Efficiency
from headrace.capacity.fits import Fit
from headrace.capacity.kv_pool import Pool
from headrace.capacity.layouts import Nodes
from headrace.capacity.lengths import Lengths
from headrace.capacity.replicas import Reaction, for_rate
from headrace.capacity.schemes import needs_evidence
from headrace.capacity.setup import GPU_MEMORY_UTILIZATION, Setup
from headrace.capacity.slo import Slo
from headrace.capacity.steady import State, Steady
from headrace.capacity.words import span
from headrace.models.architecture import Architecture
from headrace.models.weight_bytes import Weights

ASSUMED_REACTION = Reaction(cold_start=180.0)
"""Seconds, where nobody has measured it: some minutes are usual from a disk near by."""


@dataclass(frozen=True)
class Offer:
    """Nodes of one accelerator, `count` of which one replica may span, at a price.

    `price` is for one accelerator and hour, in the user's currency; at most `at_most` of them.
    """

    nodes: Nodes
    price: float
    at_most: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.price) and self.price >= 0):
            raise ValueError(
                f"the price of {self.nodes.accelerator.name} is {self.price}; it must be 0 or more"
            )


@dataclass(frozen=True)
class Ask:
    """What is to be served: a model, requests of these lengths, at a rate, within an SLO.

    `rate` is requests a second at the peak, `growth` by how much it grows at most during one
    reaction (`replicas.growth` finds it in a trace). `weights` are those known exactly, by scheme,
    all others are computed; `schemes` None: all that make sense. `efficiencies` by accelerator.
    """

    architecture: Architecture
    lengths: Lengths
    rate: float
    slo: Slo
    max_model_len: int
    reaction: Reaction = ASSUMED_REACTION
    growth: float = 0.0
    schemes: tuple[str, ...] | None = None
    weights: Mapping[str, Weights] = field(default_factory=dict)
    efficiencies: Mapping[str, Efficiency] = field(default_factory=dict)
    gpu_memory_utilization: float = GPU_MEMORY_UTILIZATION
    kv_dtype_bytes: int = 2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ValueError(f"the rate is {self.rate} requests/s; it must be above 0")
        if self.max_model_len > self.architecture.context:
            raise ValueError(
                f"max_model_len is {self.max_model_len:,} tokens, but {self.architecture.name} was"
                f" trained for {self.architecture.context:,}; lower it"
            )
        longest = self.lengths.prompt + self.lengths.output
        if longest > self.max_model_len:
            raise ValueError(
                f"a mean request has {longest:,.0f} tokens, more than max_model_len"
                f" {self.max_model_len:,} allows; raise it, or declare shorter requests"
            )

    def efficiency(self, setup: Setup) -> Efficiency:
        """Return how much of its data sheet the accelerator reaches."""
        return self.efficiencies.get(setup.accelerator.name, UNCALIBRATED)


@dataclass(frozen=True)
class Option:
    """A configuration that keeps the SLO with `replicas` replicas, each in `state`.

    `capacity` is the highest rate of a replica within the SLO, in requests a second.
    """

    offer: Offer
    fit: Fit
    replicas: int
    capacity: float
    state: State
    cost: Cost
    efficiency: Efficiency

    @property
    def setup(self) -> Setup:
        """The configuration of a replica."""
        return self.fit.setup

    @property
    def accelerators(self) -> int:
        """Accelerators of all replicas."""
        return self.replicas * self.setup.layout.accelerators

    @property
    def needs_evidence(self) -> bool:
        """Whether its answers differ from the published model's, by how much nobody knows."""
        return needs_evidence(self.setup.architecture, self.setup.weights.scheme)

    @property
    def name(self) -> str:
        """Say what it is: `2 x H100 TP2 fp8`."""
        times = f"{self.replicas} x " if self.replicas > 1 else ""
        return times + name_of(self.setup)


@dataclass(frozen=True)
class Miss:
    """A configuration that fits and does not keep the SLO, even with one request at a time.

    `excess` is by which factor its worst figure is over its bound; `state` is that of a request
    alone, None where not even one finds room.
    """

    offer: Offer
    fit: Fit
    state: State | None
    excess: float
    why: str

    @property
    def name(self) -> str:
        """Say what it is: `H100 TP2 fp8`."""
        return name_of(self.fit.setup)


def name_of(setup: Setup) -> str:
    """Say what a setup is: `H100 TP2 fp8`."""
    return f"{setup.accelerator.name} {setup.layout} {setup.weights.scheme}"


def weigh(ask: Ask, offer: Offer, fit: Fit) -> Option | Miss:
    """Return what a setup that fits would do for `ask`."""
    efficiency = ask.efficiency(fit.setup)
    steady = Steady(fit.setup, efficiency, Pool.of(fit.cache), ask.lengths)
    capacity = steady.max_rate(ask.slo.ttft, ask.slo.tpot)
    if capacity <= 0:
        return _missed(ask, offer, fit, steady)
    replicas = _replicas(ask, steady, capacity)
    accelerators = replicas * fit.setup.layout.accelerators
    if offer.at_most is not None and accelerators > offer.at_most:
        return _too_many(ask, offer, fit, capacity, accelerators)
    state = steady.at(ask.rate / replicas)
    if state is None:
        return Miss(offer, fit, None, math.inf, "requests would pile up at any rate")
    bill = cost(accelerators * offer.price, ask.rate, ask.lengths.prompt, ask.lengths.output)
    return Option(offer, fit, replicas, capacity, state, bill, efficiency)


def _replicas(ask: Ask, steady: Steady, capacity: float) -> int:
    """Return enough for the SLO at a steady rate, and for bursts while no replica can be added."""
    burst = for_rate(ask.rate, steady.highest_rate, ask.slo.ttft, ask.reaction, ask.growth)
    return max(math.ceil((ask.rate + ask.growth) / capacity), burst.most)


def _missed(ask: Ask, offer: Offer, fit: Fit, steady: Steady) -> Miss:
    state = alone(steady)
    if state is None:
        return Miss(offer, fit, None, math.inf, f"no room for a request beside others: {fit.why}")
    slo = ask.slo
    over = [
        (value / bound, f"{name} p95 {span(value)} against {span(bound)}")
        for name, value, bound in (
            ("TTFT", state.ttft_p95, slo.ttft),
            ("TPOT", state.tpot_p95, slo.tpot),
        )
        if value > bound
    ]
    if not over:
        room = steady.max_rate() > 0
        beside = "one beside it breaks it" if room else f"two do not fit: {fit.why}"
        return Miss(offer, fit, state, 1.0, f"a request alone keeps the SLO, but {beside}")
    words = " and ".join(sentence for _, sentence in over)
    return Miss(offer, fit, state, max(over)[0], f"even a request alone has {words}")


def _too_many(ask: Ask, offer: Offer, fit: Fit, capacity: float, accelerators: int) -> Miss:
    most = (offer.at_most or 0) // fit.setup.layout.accelerators
    why = (
        f"needs {accelerators} {fit.setup.accelerator.name} for {ask.rate:g} requests/s, and"
        f" {offer.at_most} are offered: they serve {most * capacity:.3g} requests/s within the SLO"
    )
    excess = ask.rate / (most * capacity) if most else math.inf
    return Miss(offer, fit, None, excess, why)
