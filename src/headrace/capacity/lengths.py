"""How long requests are, as far as a steady state depends on it: a few means of the traffic.

Means of products are taken over requests, so nothing is lost to a spread of lengths that a mean
prompt and a mean answer would hide. `steady.py` computes with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.traffic.traffic import Counts, Traffic


@dataclass(frozen=True)
class Lengths:
    """Means over requests, in tokens; all of it for prompts of at least 1 and answers of 1."""

    prompt: float
    output: float
    prompt_p95: float
    unevenness: float
    """Mean square of the prompt over the square of its mean: 1 if all are alike."""
    inverse_steps: float
    """Mean of 1 / (output - 1), of answers of at least two tokens: how little a TPOT averages."""
    context: float
    """Mean context of a sequence while it decodes, long answers weighing more."""
    context_unevenness: float
    """Its mean square over the square of its mean: how differently much memory they take."""

    @classmethod
    def of(cls, traffic: Traffic) -> Lengths:
        """Return the means of some traffic."""
        return cls.from_counts(traffic.prompts, traffic.outputs)

    @classmethod
    def fixed(cls, prompt: int, output: int) -> Lengths:
        """Return requests that are all alike."""
        return cls.from_counts(np.array([prompt]), np.array([output]))

    @classmethod
    def from_counts(cls, prompts: Counts, outputs: Counts) -> Lengths:
        """Return the means of requests with these lengths."""
        steps = np.maximum(outputs - 1, 0).astype(float)
        several = steps[steps > 0]
        middle = prompts + (outputs / 2)
        weights = steps if steps.any() else np.ones_like(steps)
        context = float(np.average(middle, weights=weights))
        return cls(
            prompt=float(prompts.mean()),
            output=float(outputs.mean()),
            prompt_p95=float(np.percentile(prompts, 95)),
            unevenness=float((prompts.astype(float) ** 2).mean() / prompts.mean() ** 2),
            inverse_steps=float((1 / several).mean()) if len(several) else 0.0,
            context=context,
            context_unevenness=float(np.average(middle**2, weights=weights)) / context**2,
        )
