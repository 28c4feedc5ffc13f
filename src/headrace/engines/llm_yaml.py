"""TensorRT-LLM's parameters as YAML: the arguments of its `LLM()`, for trtllm-serve and for Triton.

Both run the same LLM API. A fleet file writes a nested parameter with dots, as in
`kv_cache_config.dtype: fp8`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from headrace.engines import pod
from headrace.engines.flag_rules import FlagRules, Span
from headrace.fleet.types import Deployment, Scalar

OWNED: Mapping[str, str] = {
    "model": "model",
    "tokenizer": "model",
    "max_seq_len": "max_model_len",
    "max_batch_size": "max_num_seqs",
    "max_num_tokens": "max_num_batched_tokens",
    "free_gpu_memory_fraction": "gpu_memory_utilization",
    "kv_cache_free_gpu_memory_fraction": "gpu_memory_utilization",
    "kv_cache_config.free_gpu_memory_fraction": "gpu_memory_utilization",
    "tensor_parallel_size": "tensor_parallel",
    "tp_size": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "pp_size": "pipeline_parallel",
}
REFUSED: Mapping[str, str] = {
    "host": "the gateway and the probes reach it on every address of its Pod",
    "port": "Headrace chooses where replicas listen",
    "config": "parameters from another file would escape these checks; write them here",
    "extra_llm_api_options": "parameters from another file would escape these checks; write them "
    "here",
    "return_perf_metrics": "it is always given: without metrics nothing can be scaled or watched",
    "server_role": "the gateway sends whole requests",
    "disagg_cluster_uri": "the gateway sends whole requests",
}


def canonical(name: str) -> str:
    """Write a parameter as TensorRT-LLM does, with underscores."""
    return name.replace("-", "_")


def rules(title: str, history: Mapping[str, Span]) -> FlagRules:
    """Return the rules for the parameters of an engine that runs the LLM API."""
    return FlagRules(title, history, OWNED, REFUSED, canonical)


def parameters(deployment: Deployment) -> pod.Reasoned[Scalar]:
    """Return the arguments that the deployment's own fields become, nested ones with dots."""
    found: pod.Reasoned[Scalar] = {
        "tensor_parallel_size": (deployment.tensor_parallel, "tensor_parallel"),
        "pipeline_parallel_size": (deployment.pipeline_parallel, "pipeline_parallel"),
        "max_batch_size": (deployment.max_num_seqs, "max_num_seqs"),
    }
    if deployment.max_model_len is not None:
        found["max_seq_len"] = (deployment.max_model_len, "max_model_len")
    if deployment.max_num_batched_tokens is not None:
        found["max_num_tokens"] = (deployment.max_num_batched_tokens, "max_num_batched_tokens")
        found["enable_chunked_prefill"] = (
            True,
            "a prompt may be longer than max_num_batched_tokens",
        )
    if deployment.gpu_memory_utilization is not None:
        share = "gpu_memory_utilization; here of what is free once the weights are loaded"
        name = "kv_cache_config.free_gpu_memory_fraction"
        found[name] = (deployment.gpu_memory_utilization, share)
    return found


def yaml_text(flat: Mapping[str, Any], head: str) -> str:
    """Return the parameters as YAML under a comment, names with dots as nested mappings."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    out = io.StringIO()
    writer = YAML()
    writer.default_flow_style = False
    writer.dump(nested, out)
    return f"# {head}\n{out.getvalue()}"
