"""Whether a replica has the memory: weights and a cache for one request on each of its ranks.

`memory.py` has the parts of a rank, `kv.py` what is left in blocks; here they become an answer in
words and bytes, for `choose.py` and for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from headrace.capacity.kv import KvCache, kv_cache
from headrace.capacity.memory import ENGINE, Budget, budgets
from headrace.capacity.setup import Setup
from headrace.capacity.words import gigabytes


@dataclass(frozen=True)
class Fit:
    """What memory says about a setup; the budgets are those of a rank of each pipeline stage."""

    setup: Setup
    budgets: tuple[Budget, ...]

    @cached_property
    def cache(self) -> KvCache:
        """The KV cache that is left."""
        return kv_cache(self.setup, [budget.kv for budget in self.budgets])

    @cached_property
    def ok(self) -> bool:
        """Whether the engine starts: a request of max_model_len has its blocks."""
        return self.tightest.kv > 0 and self.cache.fits()

    @property
    def sure(self) -> bool:
        """Whether it does even if every assumption is off to the wrong side."""
        low = [budget.kv_low for budget in self.budgets]
        return min(low) > 0 and kv_cache(self.setup, low).fits()

    @property
    def impossible(self) -> bool:
        """Whether it does not even if every assumption is off to the good side."""
        high = [budget.kv_high for budget in self.budgets]
        return min(high) <= 0 or not kv_cache(self.setup, high).fits()

    @property
    def tightest(self) -> Budget:
        """The budget of the stage with the least left."""
        return min(self.budgets, key=lambda budget: budget.requested - budget.used)

    @property
    def why(self) -> str:
        """What decides, in words and bytes."""
        if self.tightest.kv <= 0:
            return self._weights_do_not_fit()
        return self._room() if self.ok else self._cache_does_not_fit()

    def _weights_do_not_fit(self) -> str:
        budget, setup = self.tightest, self.setup
        weights = _weights(budget)
        missing = budget.used - budget.requested
        return (
            f"does not fit: each of {_accelerators(setup)} would hold {gigabytes(weights)} of"
            f" weights and {gigabytes(budget.used - weights)} of what an engine needs besides,"
            f" {gigabytes(missing)} more than the {gigabytes(budget.requested)} it may use"
            f" ({setup.gpu_memory_utilization:.0%} of {gigabytes(budget.total)})"
        )

    def _cache_does_not_fit(self) -> str:
        setup, longest = self.setup, self.cache.longest(self.setup.max_model_len)
        advice = f"lower max_model_len to {longest:,} or less" if longest else "not one token fits"
        return (
            f"does not start: of {gigabytes(self.tightest.requested)} on each of"
            f" {_accelerators(setup)} {gigabytes(self.tightest.kv)} are left for the KV cache, less"
            f" than one request of {setup.max_model_len:,} tokens takes: {advice}"
        )

    def _room(self) -> str:
        setup, cache = self.setup, self.cache
        doubt = "" if self.sure else "; if every assumption is off to the wrong side, it does not"
        return (
            f"fits: {gigabytes(_weights(self.tightest))} of weights on each of"
            f" {_accelerators(setup)}, {gigabytes(self.tightest.kv)} left for the KV cache,"
            f" {cache.tokens:,} tokens, so {cache.concurrency():.1f} requests of"
            f" {setup.max_model_len:,} tokens at once{doubt}"
        )


def fit(setup: Setup, engine: str = ENGINE) -> Fit:
    """Return what memory says about `setup`; `engine` is vLLM's version."""
    return Fit(setup, budgets(setup, engine))


def _weights(budget: Budget) -> int:
    return sum(part.bytes for part in budget.parts if "weights" in part.name)


def _accelerators(setup: Setup) -> str:
    count, name = setup.layout.accelerators, setup.accelerator.name
    shared = setup.accelerator.kind == "cpu" and count > 1
    return f"{count} ranks of {name}" if shared else f"{count} {name}"
