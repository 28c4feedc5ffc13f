"""Flags that the engine in a log had and a plan has not: the first thing to rule out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from headrace.capacity.setup import Setup
from headrace.engines.vllm_memory_log import MemorySaid

_CLOSE = 5e-4


@dataclass(frozen=True)
class Setting:
    """One flag, as the plan has it and as the log says it."""

    name: str
    planned: str
    said: str

    def __str__(self) -> str:
        """For a sentence."""
        return f"{self.name} is {self.said}, planned {self.planned}"


def other_settings(setup: Setup, said: MemorySaid, engine: str) -> Iterator[Setting]:
    """Yield what differs; flags that the log does not tell are taken to be as planned."""
    if said.version and not _same_release(engine, said.version):
        yield Setting("vLLM", engine, said.version)
    if said.device in ("cpu", "gpu") and said.device != setup.accelerator.kind:
        yield Setting("device", setup.accelerator.kind, said.device)
    for name, planned, found in _flags(setup, said):
        if found is not None and abs(found - planned) > _CLOSE:
            yield Setting(name, _text(planned), _text(found))


def _flags(setup: Setup, said: MemorySaid) -> Iterator[tuple[str, float, float | None]]:
    given = said.arguments
    yield "tensor_parallel", setup.layout.tensor, said.tensor
    yield "pipeline_parallel", setup.layout.pipeline, said.pipeline
    yield "max_model_len", setup.max_model_len, said.max_model_len
    yield "max_num_seqs", setup.max_num_seqs, said.max_num_seqs
    yield "max_num_batched_tokens", setup.max_num_batched_tokens, said.max_num_batched_tokens
    yield "block_size", setup.block, _number(given.get("block_size"))
    fixed = _number(given.get("kv_cache_memory_bytes"))
    if setup.kv_bytes is None and fixed is None:
        share = said.gpu_memory_utilization
        yield "gpu_memory_utilization", setup.gpu_memory_utilization, share
    else:
        yield "kv_cache of each rank", setup.kv_bytes or 0, fixed
    yield "bytes of a KV value", setup.kv_dtype_bytes, _kv_bytes(said)


def _kv_bytes(said: MemorySaid) -> int | None:
    dtype = said.kv_cache_dtype or said.arguments.get("kv_cache_dtype")
    if dtype is None:
        return None
    return 1 if str(dtype).startswith("fp8") else 2


def _same_release(one: str, other: str) -> bool:
    """Whether two versions are the same up to builds: `0.19.0` and `0.19.0+cu128`."""
    try:
        return Version(one).release == Version(other).release
    except InvalidVersion:
        return one == other


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
