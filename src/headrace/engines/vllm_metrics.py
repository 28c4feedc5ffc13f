"""What vLLM's metrics are called, by version: canonical name to wire names, newest first.

Renames, read from the published wheels: gpu_cache_usage_perc became kv_cache_usage_perc (new name
since 0.9.2, old one hidden in 0.11 and gone in 0.12); time_per_output_token_seconds became
inter_token_latency_seconds (since 0.10.2, hidden in 0.12, gone in 0.15.1);
request_time_per_output_token_seconds came with 0.11. Read with `metrics.read_metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from packaging.version import Version


class _Name(NamedTuple):
    """A name on the wire; `hidden` is the first version that needs to be asked for it by flag."""

    wire: str
    since: str = "0"
    gone: str = "999"
    hidden: str = "999"


_NAMES: Mapping[str, tuple[_Name, ...]] = {
    "running": (_Name("vllm:num_requests_running"),),
    "waiting": (_Name("vllm:num_requests_waiting"),),
    "kv_usage": (
        _Name("vllm:kv_cache_usage_perc", since="0.9.2"),
        _Name("vllm:gpu_cache_usage_perc", gone="0.12", hidden="0.11"),
    ),
    "ttft": (_Name("vllm:time_to_first_token_seconds"),),
    "itl": (
        _Name("vllm:inter_token_latency_seconds", since="0.10.2"),
        _Name("vllm:time_per_output_token_seconds", gone="0.15.1", hidden="0.12"),
    ),
    "tpot": (_Name("vllm:request_time_per_output_token_seconds", since="0.11"),),
    "e2e": (_Name("vllm:e2e_request_latency_seconds"),),
    "prompt_tokens": (_Name("vllm:prompt_tokens_total"),),
    "generation_tokens": (_Name("vllm:generation_tokens_total"),),
    "prefix_hits": (
        _Name("vllm:prefix_cache_hits_total", since="0.9.2"),
        _Name("vllm:gpu_prefix_cache_hits_total", gone="0.12", hidden="0.11"),
    ),
    "prefix_queries": (
        _Name("vllm:prefix_cache_queries_total", since="0.9.2"),
        _Name("vllm:gpu_prefix_cache_queries_total", gone="0.12", hidden="0.11"),
    ),
    "preemptions": (_Name("vllm:num_preemptions_total"),),
    "success": (_Name("vllm:request_success_total"),),
}


def metric_sources(version: str) -> dict[str, tuple[str, ...]]:
    """Return the wire names that this version can export, by canonical name."""
    return {name: _in(version, options, hidden=True) for name, options in _NAMES.items()}


def unasked_names(version: str) -> dict[str, tuple[str, ...]]:
    """Return those of them that need no --show-hidden-metrics-for-version."""
    return {name: _in(version, options, hidden=False) for name, options in _NAMES.items()}


def _in(version: str, options: tuple[_Name, ...], *, hidden: bool) -> tuple[str, ...]:
    now = Version(version)
    there = (option for option in options if Version(option.since) <= now < Version(option.gone))
    return tuple(option.wire for option in there if hidden or now < Version(option.hidden))
