"""Flags of vLLM that change what a plan computes, and that it does not count: notes name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.fleet.types import Scalar

OTHER_MEMORY = (
    "cpu-offload-gb", "kv-cache-memory-bytes", "num-gpu-blocks-override", "hf-overrides",
    "rope-scaling", "data-parallel-size", "config",
)  # fmt: skip
"""Those beside which memory is not judged."""
_OTHER_SPEED = ("enforce-eager", "speculative-config", "spec-method")


def unplanned(flags: Mapping[str, Scalar]) -> Iterator[str]:
    """Yield a sentence for each of `flags`, by their names as vLLM lists them, that is set."""
    for names, what in ((OTHER_MEMORY, "memory"), (_OTHER_SPEED, "memory and speed")):
        for name in names:
            if flags.get(name, False) is not False:
                yield f"engine.flags.{name} changes {what}, which this plan does not count"
