"""What the accelerators of one replica tell each other in a step, in seconds.

Tensor parallelism sums activations over its ranks twice in each layer (after attention and after
the feed-forward part); a ring sends 2 * (ranks - 1) / ranks of the bytes over each rank's link.
A pipeline passes activations on from stage to stage. What leaves a node takes the network.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.capacity.setup import Setup
from headrace.hardware.accelerator import Link

ACTIVATION_BYTES = 2
"""Activations are bf16 whatever the weights are."""
SUMS_PER_LAYER = 2
MESSAGES_PER_SUM = 2
"""A sum is a reduce-scatter and an all-gather."""


@dataclass(frozen=True)
class Communication:
    """Seconds for each token and for each step."""

    per_token: float
    per_step: float

    @classmethod
    def of(cls, setup: Setup, share: float) -> Communication:
        """Return what `setup` costs where links reach `share` of their data sheet."""
        sums = _sums(setup, share)
        hops = _hops(setup, share)
        return cls(sums.per_token + hops.per_token, sums.per_step + hops.per_step)

    def seconds(self, tokens: float) -> float:
        """Return the time of a step over `tokens` tokens."""
        return tokens * self.per_token + self.per_step


def _sums(setup: Setup, share: float) -> Communication:
    """Return the all-reduces of tensor parallelism."""
    ranks = setup.layout.tensor
    if ranks == 1:
        return Communication(0.0, 0.0)
    accelerator = setup.accelerator
    link = accelerator.link if ranks <= accelerator.per_node else accelerator.network
    sums = SUMS_PER_LAYER * setup.architecture.layers
    sent = 2 * (ranks - 1) / ranks * setup.architecture.hidden * ACTIVATION_BYTES
    return Communication(
        sums * sent / (link.bandwidth * share), sums * MESSAGES_PER_SUM * link.latency
    )


def _hops(setup: Setup, share: float) -> Communication:
    """Return the hops between stages: each rank sends its part of the activations."""
    layout, accelerator = setup.layout, setup.accelerator
    nodes = -(-layout.accelerators // accelerator.per_node)
    between = min(nodes, layout.pipeline) - 1
    inside = layout.pipeline - 1 - between
    sent = setup.architecture.hidden * ACTIVATION_BYTES / layout.tensor

    def cost(count: int, link: Link) -> Communication:
        return Communication(count * sent / (link.bandwidth * share), count * link.latency)

    near, far = cost(inside, accelerator.link), cost(between, accelerator.network)
    return Communication(near.per_token + far.per_token, near.per_step + far.per_step)
