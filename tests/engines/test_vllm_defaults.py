"""vLLM's defaults against `EngineArgs.get_batch_defaults` and `CacheConfig` of the 0.32.0 wheel."""

from __future__ import annotations

from typing import Literal

import pytest

from headrace.engines.vllm_defaults import defaults

GIB = 2**30


@pytest.mark.parametrize(
    ("kind", "product", "memory", "tokens", "seqs"),
    [
        ("gpu", "L4", 22 * GIB, 2048, 256),
        ("gpu", "A100-80GB", 79 * GIB, 2048, 256),
        ("gpu", "H100", 79 * GIB, 8192, 1024),
        ("gpu", "B200", 178 * GIB, 16384, 1024),
        ("cpu", "CPU", 23 * GIB, 2048, 128),
    ],
)
def test_batches_by_hardware(
    kind: Literal["cpu", "gpu"], product: str, memory: int, tokens: int, seqs: int
) -> None:
    made = defaults("0.32.0", kind=kind, memory=memory, product=product)
    assert (made.max_num_batched_tokens, made.max_num_seqs) == (tokens, seqs)


def test_a_cpu_takes_more_with_each_rank() -> None:
    made = defaults("0.32.0", kind="cpu", memory=23 * GIB, product="CPU", ranks=3)
    assert (made.max_num_batched_tokens, made.max_num_seqs, made.block) == (6144, 384, 128)


def test_memory_by_version() -> None:
    new = defaults("0.32.0", kind="gpu", memory=24 * GIB, product="RTX 4090")
    old = defaults("0.19.1", kind="gpu", memory=24 * GIB, product="RTX 4090")
    later = defaults("0.20.2", kind="gpu", memory=24 * GIB, product="RTX 4090")
    assert later.gpu_memory_utilization == 0.92
    assert (old.gpu_memory_utilization, new.gpu_memory_utilization) == (0.9, 0.92)
    assert (old.block, new.block) == (16, 16)
