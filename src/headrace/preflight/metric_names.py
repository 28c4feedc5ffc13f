"""Which metrics engines emit, and when vLLM renamed what: the reason dashboards go blank.

The history is from the published wheels of 0.6.5 to 0.33.0 in some twenty steps, so a boundary is
exact to the step; `vllm_metrics_0_32_0.txt` is the whole list of one version, for misspelt names.
Names here are families: without `_total`, `_bucket`, `_sum`, `_count`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from packaging.version import Version

from headrace.engines.container import EngineName
from headrace.preflight.promql import family


@dataclass(frozen=True)
class Life:
    """From which version to before which a metric is there; `hidden`: only when asked for."""

    since: str = "0"
    gone: str = "999"
    hidden: str = "999"
    instead: str = ""

    def __contains__(self, version: str) -> bool:
        """Whether that version exports it without being asked."""
        end = min(Version(self.gone), Version(self.hidden))
        return Version(self.since) <= Version(version) < end


_KV = "vllm:kv_cache_usage_perc"
_HITS = "vllm:prefix_cache_hits_total divided by vllm:prefix_cache_queries_total"
_TOKENS = "rate(vllm:generation_tokens_total[1m])"
VLLM_LIVES: Mapping[str, Life] = {
    "vllm:kv_cache_usage_perc": Life("0.9.2", instead="vllm:gpu_cache_usage_perc"),
    "vllm:gpu_cache_usage_perc": Life(gone="0.12", hidden="0.11", instead=_KV),
    "vllm:cpu_cache_usage_perc": Life(gone="0.9", instead="nothing: V1 swaps nothing to the CPU"),
    "vllm:inter_token_latency_seconds": Life(
        "0.10.2", instead="vllm:time_per_output_token_seconds"
    ),
    "vllm:time_per_output_token_seconds": Life(
        gone="0.15.1", hidden="0.12", instead="vllm:inter_token_latency_seconds"
    ),
    "vllm:request_time_per_output_token_seconds": Life(
        "0.11", instead="vllm:time_per_output_token_seconds"
    ),
    "vllm:prefix_cache_hits": Life("0.9.2", instead="vllm:gpu_prefix_cache_hits_total"),
    "vllm:prefix_cache_queries": Life("0.9.2", instead="vllm:gpu_prefix_cache_queries_total"),
    "vllm:gpu_prefix_cache_hits": Life(
        gone="0.12", hidden="0.11", instead="vllm:prefix_cache_hits_total"
    ),
    "vllm:gpu_prefix_cache_queries": Life(
        gone="0.12", hidden="0.11", instead="vllm:prefix_cache_queries_total"
    ),
    "vllm:gpu_prefix_cache_hit_rate": Life(gone="0.9", instead=_HITS),
    "vllm:cpu_prefix_cache_hit_rate": Life(gone="0.9", instead=_HITS),
    "vllm:num_requests_swapped": Life(gone="0.9", instead="vllm:num_preemptions_total"),
    "vllm:avg_prompt_throughput_toks_per_s": Life(
        gone="0.8.5", instead="rate(vllm:prompt_tokens_total[1m])"
    ),
    "vllm:avg_generation_throughput_toks_per_s": Life(gone="0.8.5", instead=_TOKENS),
    "vllm:time_in_queue_requests": Life(gone="0.9", instead="vllm:request_queue_time_seconds"),
    "vllm:model_forward_time_milliseconds": Life(gone="0.9", instead="nothing"),
    "vllm:model_execute_time_milliseconds": Life(gone="0.9", instead="nothing"),
    "vllm:spec_decode_draft_acceptance_rate": Life(
        gone="0.10", instead="accepted divided by draft tokens of vllm:spec_decode_num_*"
    ),
    "vllm:spec_decode_efficiency": Life(
        gone="0.10", instead="accepted divided by draft tokens of vllm:spec_decode_num_*"
    ),
    "vllm:num_requests_waiting_by_reason": Life("0.20", instead="vllm:num_requests_waiting"),
    "vllm:prompt_tokens_cached": Life("0.16", instead="vllm:prefix_cache_hits_total"),
    "vllm:prompt_tokens_by_source": Life("0.16", instead="vllm:prompt_tokens_total"),
    "vllm:prompt_tokens_recomputed": Life("0.16", "0.20", instead="vllm:num_preemptions_total"),
    "vllm:engine_sleep_state": Life("0.11.2", instead="nothing"),
    "vllm:admission_rejections": Life("0.32", instead="nothing"),
}
_PREFIXES: Mapping[str, EngineName] = {
    "vllm:": "vllm", "sglang:": "sglang", "tgi_": "tgi", "trtllm_": "trtllm",
    "nv_trt_llm_": "triton", "nv_inference_": "triton", "nv_llm_": "triton",
}  # fmt: skip
WAITING = {
    "vllm:num_requests_waiting", "vllm:num_requests_waiting_by_reason", "tgi_queue_size",
    "sglang:num_queue_reqs", "trtllm_num_requests_waiting", "nv_inference_pending_request",
}  # fmt: skip
"""Only what has not begun: 0 while everything that came is being answered."""
ENDED = {
    "vllm:request_success", "vllm:e2e_request_latency_seconds", "tgi_request_success",
    "tgi_request", "tgi_request_duration", "sglang:num_requests", "trtllm_request_success",
    "sglang:e2e_request_latency_seconds", "trtllm_e2e_request_latency_seconds",
    "nv_inference_request_success", "vllm:request_generation_tokens", "vllm:request_prompt_tokens",
    "vllm:time_to_first_token_seconds", "vllm:request_queue_time_seconds", "vllm:prompt_tokens",
    "sglang:time_to_first_token_seconds", "trtllm_time_to_first_token_seconds",
    "vllm:request_inference_time_seconds", "vllm:request_time_per_output_token_seconds",
}  # fmt: skip
"""Move when a request begins or ends, not while it is answered."""


@cache
def listed() -> frozenset[str]:
    """Return every metric of vLLM 0.32.0."""
    text = (resources.files(__package__) / "vllm_metrics_0_32_0.txt").read_text(encoding="utf-8")
    return frozenset(f"vllm:{line}" for line in text.splitlines() if not line.startswith("#"))


def engine_of(name: str) -> EngineName | None:
    """Return the engine whose Pods emit a metric; None if something else may emit it too.

    Routers write `vllm:` before names of their own, so only vLLM's known names are its.
    """
    engine = next((e for prefix, e in _PREFIXES.items() if name.startswith(prefix)), None)
    if engine == "vllm" and not vllm_knows(name):
        return None
    return engine


def vllm_knows(name: str) -> bool:
    """Whether any version of vLLM that was looked at has the metric."""
    known = {family(one) for one in listed()} | VLLM_LIVES.keys()
    return family(name) in known


def near(name: str) -> str | None:
    """Return the metric of vLLM that a name nobody knows was meant to be."""
    if not name.startswith("vllm:") or vllm_knows(name):
        return None
    known = sorted(listed() | VLLM_LIVES.keys())
    return next(iter(difflib.get_close_matches(family(name), known, n=1, cutoff=0.93)), None)


def life(name: str) -> Life | None:
    """Return when vLLM had a metric, if that ever changed."""
    return VLLM_LIVES.get(family(name))
