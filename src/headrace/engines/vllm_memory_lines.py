"""The sentences in which vLLM's versions tell figures of memory, as patterns with named figures.

`vllm_memory_log.py` collects them. Read from the wheel of 0.32.0, and for older versions from
logs that users published, each one a test vector. Sizes are binary everywhere: before 0.8 the
engine divided by 2**30 too, and wrote GB.
"""

from __future__ import annotations

import re
from typing import NamedTuple

GIB = 2**30
_NUMBER = r"-?\d+(?:\.\d+)?"
_FIGURE = re.compile(r"<(\w+)>")


def _sentence(text: str) -> re.Pattern[str]:
    """Return the pattern of a sentence in which `<name>` stands for a figure."""
    return re.compile(_FIGURE.sub(lambda found: f"(?P<{found[1]}>{_NUMBER})", text))


RANK = tuple(
    _sentence(text)
    for text in (
        r"(?:Model loading|Loading model weights) took <weights> Gi?B",
        # profiling results: 0.6.3 to 0.6.4, 0.6.5 to the last V0 engine, then V1 with DEBUG
        (
            r"Memory profiling results: total_gpu_memory=<total>GiB initial_memory_usage=\S+ "
            r"peak_torch_memory=<torch_peak>GiB memory_usage_post_profile=\S+ "
            r"non_torch_memory=<non_torch>GiB kv_cache_size=<available>GiB"
        ),
        (
            r"can use total_gpu_memory \(<total>GiB\) x gpu_memory_utilization \(<utilization>\)"
            r" = <requested>GiB"
        ),
        (
            r"model weights take <weights>GiB; non_torch_memory takes <non_torch>GiB; PyTorch "
            r"activation peak memory takes <activation>GiB; the rest of the memory reserved for "
            r"KV Cache is <available>GiB"
        ),
        (
            r"torch peak memory increase: <activation>GiB; non-torch forward increase memory: "
            r"<non_torch>GiB; weights memory: <weights>GiB"
        ),
        (
            r"torch peak memory increase: <activation>GiB; total consumed \(from mem_get_info\): "
            r"<consumed>GiB; weights memory: <weights>GiB"
        ),
        r"worker init memory snapshot: .*total_memory=<total>GiB",
        r"worker requested memory: <requested>GiB",
        r"Available KV cache memory: <available> GiB",
        # since 0.10.2, once the graphs are captured; without non-torch memory since about 0.23
        (
            r"Free memory on device \([\d.]+/<total> GiB\) on startup\. Desired GPU memory "
            r"utilization is \(<utilization>, <requested> GiB\)"
        ),
        (
            r"Actual usage is <weights> GiB for weight, <peak> GiB for peak activation, "
            r"<non_torch> GiB for non-torch memory"
        ),
        (
            r"Actual usage is <consumed> GiB for consumed memory \(weights \+ non-torch\), "
            r"<peak> GiB for peak activation"
        ),
        r"Current kv cache memory in use is <available> GiB",
        # CUDA graphs
        r"Graph capturing finished in \d+ secs, took <graphs> GiB",
        r"Estimated CUDA graph memory: <graphs_estimated> GiB total",
        # a cache that the user fixed, on a GPU and on a CPU
        r"reserved <available> GiB memory for KV Cache as specified",
        r"(?:Explicitly|Auto) set \(<available>/[\d.]+\) GiB for KV cache",
    )
)
"""Of one worker: sizes in GiB, and the share of the device that it may use."""

ENGINE = tuple(
    re.compile(text)
    for text in (
        r"LLM engine \(v(?P<version>\d[\w.+]*)\) with config: model='(?P<model>[^']*)'",
        r"(?:vLLM (?:API )?server version|█\s+version) (?P<version>\d[\w.+]*)",
        r"LLM engine.* with config: .*\bmax_seq_len=(?P<max_seq_len>\d+)",
        r"LLM engine.* with config: .*\btensor_parallel_size=(?P<tensor_parallel_size>\d+)",
        r"LLM engine.* with config: .*\bpipeline_parallel_size=(?P<pipeline_parallel_size>\d+)",
        r"LLM engine.* with config: .*\bdata_parallel_size=(?P<data_parallel_size>\d+)",
        r"LLM engine.* with config: .*\benforce_eager=(?P<enforce_eager>True|False)",
        r"LLM engine.* with config: .*\bkv_cache_dtype=(?P<kv_cache_dtype>[\w.]+)",
        r"LLM engine.* with config: .*\bdevice_config=(?P<device>\w+)",
        r"Chunked prefill is enabled with max_num_batched_tokens=(?P<max_num_batched_tokens>\d+)",
        r"Defaulting max_num_batched_tokens to (?P<max_num_batched_tokens>\d+)",
        r"Defaulting max_num_seqs to (?P<max_num_seqs>\d+)",
        r"Checkpoint size: (?P<checkpoint>\d+(?:\.\d+)?) GiB",
        r"(?P<device>\w+)(?: \+ host)? KV cache size: (?P<tokens>[\d,]+) tokens",
        (
            r"Maximum concurrency for (?P<longest>[\d,]+) tokens per request: "
            r"(?P<concurrency>\d+\.\d+)x"
        ),
        # V0, and V1 up to 0.7; `# cuda blocks: 3637, # CPU blocks: 1170` counts the device first
        r"# (?P<device>\w+) blocks: (?P<blocks>\d+)",
        r"Engine \d+: vllm cache_config_info .*num_gpu_blocks is: (?P<blocks>\d+)",
        r"CUDA graph memory profiling is (?P<graphs_counted>enabled|disabled)",
    )
)
"""Of the whole engine, as text."""

WORKER = re.compile(r"\(((?:Vllm|Ray)?Worker[^()]*)\)")
STAGE = re.compile(r"PP(\d+)")
ORDINAL = re.compile(r"rank=(\d+)|VllmWorker-(\d+)")
PROCESS = re.compile(r"pid=(\d+)")

SERVER_BEGINS = ("█  version ", "API server version", "vLLM server version", "non-default args:")
ENGINE_BEGINS = ("LLM engine (v",)
ARGUMENTS = re.compile(r"non-default args: (\{.*\})")
TELLING = re.compile(
    r"GiB|took|CUDA graph|KV cache|blocks|concurrency|LLM engine|version|args:|max_num_"
)
"""Lines without any of these need no closer look."""


class Said(NamedTuple):
    """A size as logged: bytes, and by how many it may be off because it was rounded."""

    bytes: int
    rounding: int = 0


def said(text: str) -> Said:
    """Return the bytes of a figure in GiB; vLLM rounds to 2 digits at least, and cuts zeros."""
    digits = max(2, len(text.partition(".")[2]))
    return Said(round(float(text) * GIB), round(GIB / 2 / 10**digits))
