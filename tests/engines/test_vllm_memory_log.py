"""What versions of vLLM say of memory: lines as real engines wrote them, each with its figures.

0.32.0 on a CPU is our own recording. The other lines are from logs that users published (vLLM's
issues and pull requests, llm-d-planner's sweep on an H100, notes on an RTX 4090, an A100 and two
H200), names of models and hosts shortened.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engines.vllm_memory_lines import Said, said
from headrace.engines.vllm_memory_log import MemorySaid, RankSaid, arguments, memory_said

DATA = Path(__file__).parent / "data"
GIB = 2**30


def read(text: str) -> MemorySaid:
    return memory_said(text.strip().splitlines())


def gib(figure: Said | None) -> float | None:
    """As the log wrote it."""
    return None if figure is None else round(figure.bytes / GIB, 4)


def rank(one: RankSaid) -> dict[str, float]:
    names = (
        "total",
        "requested",
        "weights",
        "activation",
        "non_torch",
        "graphs_estimated",
        "graphs",
        "available",
    )
    return {name: found for name in names if (found := gib(getattr(one, name))) is not None}


V0_6_3 = """
INFO 11-05 21:20:23 model_runner.py:1067] Loading model weights took 7.9324 GB
INFO 11-05 21:20:25 gpu_executor.py:122] # GPU blocks: 2153, # CPU blocks: 682
INFO 11-05 21:20:25 gpu_executor.py:126] Maximum concurrency for 4096 tokens per request: 8.41x
"""
V0_6_4_RTX_3090 = """
INFO 12-02 10:00:00 model_runner.py:1072] Loading model weights took 14.9888 GB
INFO 12-02 10:00:01 worker.py:232] Memory profiling results: total_gpu_memory=23.58GiB initial_memory_usage=15.34GiB peak_torch_memory=17.06GiB memory_usage_post_profile=15.35GiB non_torch_memory=0.35GiB kv_cache_size=3.81GiB gpu_memory_utilization=0.90
INFO 12-02 10:00:01 gpu_executor.py:113] # GPU blocks: 1952, # CPU blocks: 2048
INFO 12-02 10:00:01 gpu_executor.py:117] Maximum concurrency for 20000 tokens per request: 1.56x
"""
V0_6_6 = """
INFO 04-02 21:42:59 model_runner.py:1099] Loading model weights took 15.5083 GB
INFO 04-02 21:43:03 worker.py:241] Memory profiling takes 4.42 seconds
INFO 04-02 21:43:03 worker.py:241] the current vLLM instance can use total_gpu_memory (23.67GiB) x gpu_memory_utilization (0.90) = 21.30GiB
INFO 04-02 21:43:03 worker.py:241] model weights take 15.51GiB; non_torch_memory takes 0.28GiB; PyTorch activation peak memory takes 1.16GiB; the rest of the memory reserved for KV Cache is 4.36GiB.
INFO 04-02 21:43:03 gpu_executor.py:76] # GPU blocks: 5102, # CPU blocks: 4681
INFO 04-02 21:43:03 gpu_executor.py:80] Maximum concurrency for 8192 tokens per request: 9.96x
"""
V0_8_5_PP2_RTX_5090 = """
INFO 04-23 14:42:34 [llm_engine.py:243] Initializing a V0 LLM engine (v0.8.5.dev169+gce17db808.d20250423) with config: model='/models/QwQ-32B-unsloth-bnb-4bit', speculative_config=None, max_seq_len=60000, tensor_parallel_size=1, pipeline_parallel_size=2, quantization=bitsandbytes, enforce_eager=False, kv_cache_dtype=auto,  device_config=cuda,
INFO 04-23 14:48:44 [worker.py:287] model weights take 10.80GiB; non_torch_memory takes 0.33GiB; PyTorch activation peak memory takes 1.01GiB; the rest of the memory reserved for KV Cache is 14.52GiB.
(VllmWorkerProcess pid=12897) INFO 04-23 14:48:44 [worker.py:287] the current vLLM instance can use total_gpu_memory (31.37GiB) x gpu_memory_utilization (0.85) = 26.66GiB
(VllmWorkerProcess pid=12897) INFO 04-23 14:48:44 [worker.py:287] model weights take 10.30GiB; non_torch_memory takes 0.33GiB; PyTorch activation peak memory takes 1.77GiB; the rest of the memory reserved for KV Cache is 14.26GiB.
INFO 04-23 14:48:44 [executor_base.py:112] # cuda blocks: 7299, # CPU blocks: 2048
INFO 04-23 14:48:44 [executor_base.py:117] Maximum concurrency for 50000 tokens per request: 2.34x
"""
V0_CPU = """
INFO 04-16 09:24:56 [loader.py:458] Loading weights took 0.43 seconds
INFO 04-16 09:24:56 [executor_base.py:112] # cpu blocks: 9362, # CPU blocks: 0
INFO 04-16 09:24:56 [executor_base.py:117] Maximum concurrency for 32768 tokens per request: 4.57x
"""
V0_7_V1 = """
INFO 01-30 03:18:12 gpu_model_runner.py:848] Loading model weights took 67.7229 GB
INFO 01-30 03:19:14 kv_cache_utils.py:395] # GPU blocks: 1381
INFO 01-30 03:19:14 kv_cache_utils.py:398] Maximum concurrency for 2048 tokens per request: 10.79x
"""
V0_8_5_L40S = """
INFO 04-24 16:33:00 [gpu_model_runner.py:1316] Model loading took 14.9889 GiB and 3.652170 seconds
INFO 04-24 16:33:13 [kv_cache_utils.py:634] GPU KV cache size: 158,656 tokens
INFO 04-24 16:33:13 [kv_cache_utils.py:637] Maximum concurrency for 32,768 tokens per request: 4.84x
"""
V0_10_A100 = """
\x1b[1;36m(EngineCore_0 pid=82)\x1b[0;0m INFO 08-27 21:02:30 [core.py:74] Initializing a V1 LLM engine (v0.10.1.1) with config: model='/models/Meta-Llama-3.1-8B-Instruct', speculative_config=None, max_seq_len=131072, tensor_parallel_size=1, pipeline_parallel_size=1, quantization=None, enforce_eager=False, kv_cache_dtype=auto, device_config=cuda,
\x1b[1;36m(EngineCore_0 pid=82)\x1b[0;0m INFO 08-27 21:02:45 [gpu_model_runner.py:2007] Model loading took 14.9889 GiB and 11.314340 seconds
\x1b[1;36m(EngineCore_0 pid=82)\x1b[0;0m INFO 08-27 21:03:25 [gpu_worker.py:276] Available KV cache memory: 19.25 GiB
\x1b[1;36m(EngineCore_0 pid=82)\x1b[0;0m INFO 08-27 21:03:26 [kv_cache_utils.py:849] GPU KV cache size: 157,648 tokens
\x1b[1;36m(EngineCore_0 pid=82)\x1b[0;0m INFO 08-27 21:03:26 [kv_cache_utils.py:853] Maximum concurrency for 131,072 tokens per request: 1.20x
\x1b[1;36m(EngineCore_0 pid=82)\x1b[0;0m INFO 08-27 21:03:29 [gpu_model_runner.py:2708] Graph capturing finished in 3 secs, took 0.52 GiB
\x1b[1;36m(APIServer pid=15)\x1b[0;0m INFO 08-27 21:03:30 [loggers.py:142] Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 9853
"""
RTX_4090 = """
INFO: Model loading took 14.9889 GiB and 3.565280 seconds
INFO: Available KV cache memory: 4.95 GiB
INFO: GPU KV cache size: 40,528 tokens
INFO: Maximum concurrency for 10,000 tokens per request: 4.05x
"""
V0_11_TP2_H200 = """
(Worker_TP1 pid=1806414) INFO 10-23 15:14:18 [gpu_model_runner.py:2392] Model loading took 74.2812 GiB and 215.969277 seconds
(Worker_TP0 pid=1806413) INFO 10-23 15:14:18 [gpu_model_runner.py:2392] Model loading took 74.2812 GiB and 215.831224 seconds
(Worker_TP1 pid=1806414) INFO 10-23 15:14:30 [gpu_worker.py:298] Available KV cache memory: 44.59 GiB
(Worker_TP0 pid=1806413) INFO 10-23 15:14:30 [gpu_worker.py:298] Available KV cache memory: 44.59 GiB
(EngineCore_DP0 pid=1805889) INFO 10-23 15:14:30 [kv_cache_utils.py:1028] GPU KV cache size: 973,760 tokens
(EngineCore_DP0 pid=1805889) INFO 10-23 15:14:30 [kv_cache_utils.py:1032] Maximum concurrency for 262,144 tokens per request: 14.77x
(Worker_TP1 pid=1806414) INFO 10-23 15:14:56 [gpu_model_runner.py:3118] Graph capturing finished in 25 secs, took 2.37 GiB
(Worker_TP1 pid=1806414) INFO 10-23 15:14:56 [gpu_worker.py:391] Free memory on device (139.21/139.81 GiB) on startup. Desired GPU memory utilization is (0.9, 125.83 GiB). Actual usage is 74.28 GiB for weight, 5.58 GiB for peak activation, 1.38 GiB for non-torch memory, and 2.37 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=45175492096` to fit into requested memory, or `--kv-cache-memory=59540753920` to fully utilize gpu memory. Current kv cache memory in use is 47878721024 bytes.
(APIServer pid=1804347) INFO 10-23 15:14:56 [loggers.py:142] Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 7162
"""
V0_19_H100_DEBUG = """
(APIServer pid=1) INFO 04-22 01:47:15 [entrypoints/utils.py:299]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.19.0
(APIServer pid=1) INFO 04-22 01:47:15 [entrypoints/utils.py:233] non-default args: {'model_tag': 'meta-llama/Llama-3.1-8B-Instruct', 'model': 'meta-llama/Llama-3.1-8B-Instruct', 'max_model_len': 16384, 'gpu_memory_utilization': 0.95, 'enable_prefix_caching': False}
(APIServer pid=1) DEBUG 04-22 01:47:15 [engine/arg_utils.py:2232] Defaulting max_num_batched_tokens to 8192 for OPENAI_API_SERVER usage context.
(APIServer pid=1) DEBUG 04-22 01:47:15 [engine/arg_utils.py:2242] Defaulting max_num_seqs to 1024 for OPENAI_API_SERVER usage context.
(APIServer pid=1) INFO 04-22 01:47:15 [config/scheduler.py:238] Chunked prefill is enabled with max_num_batched_tokens=8192.
(EngineCore pid=243) DEBUG 04-22 01:47:26 [v1/worker/gpu_worker.py:284] worker init memory snapshot: torch_peak=0.0GiB, free_memory=78.68GiB, total_memory=79.19GiB, cuda_memory=0.51GiB, torch_memory=0.0GiB, non_torch_memory=0.51GiB, timestamp=1776822446.960836, auto_measure=True
(EngineCore pid=243) DEBUG 04-22 01:47:26 [v1/worker/gpu_worker.py:285] worker requested memory: 75.23GiB
(EngineCore pid=243) INFO 04-22 01:47:45 [v1/worker/gpu_model_runner.py:4820] Model loading took 14.99 GiB memory and 14.429680 seconds
(EngineCore pid=243) DEBUG 04-22 01:47:56 [v1/worker/gpu_worker.py:430] Memory profiling takes 17.96 seconds. Total non KV cache memory: 17.12GiB; torch peak memory increase: 1.89GiB; non-torch forward increase memory: 0.25GiB; weights memory: 14.99GiB.
(EngineCore pid=243) INFO 04-22 01:47:56 [v1/worker/gpu_worker.py:436] Available KV cache memory: 58.11 GiB
(EngineCore pid=243) INFO 04-22 01:47:56 [v1/core/kv_cache_utils.py:1319] GPU KV cache size: 476,016 tokens
(EngineCore pid=243) INFO 04-22 01:47:56 [v1/core/kv_cache_utils.py:1324] Maximum concurrency for 16,384 tokens per request: 29.05x
(APIServer pid=1) DEBUG 04-22 01:48:00 [v1/metrics/loggers.py:142] Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 29751
"""
V0_22 = """
(EngineCore pid=111) INFO 06-07 08:56:00 [gpu_model_runner.py:5132] Model loading took 15.18 GiB memory and 2.640207 seconds
(EngineCore pid=111) INFO 06-07 08:56:40 [gpu_model_runner.py:6279] Profiling CUDA graph memory: PIECEWISE=51 (largest=512), FULL=35 (largest=256)
(EngineCore pid=111) INFO 06-07 08:56:43 [gpu_model_runner.py:6365] Estimated CUDA graph memory: 0.79 GiB total
(EngineCore pid=111) INFO 06-07 08:56:43 [gpu_worker.py:466] Available KV cache memory: 4.1 GiB
(EngineCore pid=111) INFO 06-07 08:56:43 [gpu_worker.py:481] CUDA graph memory profiling is enabled (default since v0.21.0). The current --gpu-memory-utilization=0.9000 is equivalent to --gpu-memory-utilization=0.8667 without CUDA graph memory profiling. To maintain the same effective KV cache size as before, increase --gpu-memory-utilization to 0.9333. To disable, set VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0.
(EngineCore pid=111) INFO 06-07 08:56:43 [kv_cache_utils.py:1733] GPU KV cache size: 224,353 tokens
(EngineCore pid=111) INFO 06-07 08:56:43 [kv_cache_utils.py:1734] Maximum concurrency for 32,768 tokens per request: 6.85x
(EngineCore pid=111) INFO 06-07 08:56:50 [gpu_model_runner.py:6456] Graph capturing finished in 7 secs, took 0.71 GiB
(EngineCore pid=111) INFO 06-07 08:56:50 [gpu_worker.py:619] CUDA graph pool memory: 0.71 GiB (actual), 0.79 GiB (estimated), difference: 0.07 GiB (10.1%).
"""
# 0.2x: the estimate stands beside the peak, 169.56 - 106.69 - 6.31 - 0.95 - 4.99 = 50.62
TP4_B200 = """
(Worker_TP2_EP2 pid=4155526) INFO 08-20 17:25:00 [gpu_model_runner.py:6806] Estimated CUDA graph memory: 4.99 GiB total
(Worker_TP2_EP2 pid=4155526) INFO 08-20 17:25:01 [gpu_worker.py:578] CUDA graph memory profiling is enabled (default since v0.21.0). The current --gpu-memory-utilization=0.9200 is equivalent to
(Worker_TP2_EP2 pid=4155526) INFO 08-20 17:28:08 [gpu_worker.py:857] Free memory on device (181.84/184.31 GiB) on startup. Desired GPU memory utilization is (0.92, 169.56 GiB). Actual usage is 106.69 GiB for weight, 6.31 GiB for peak activation, 0.95 GiB for non-torch memory, and 4.13 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=55124106138` (51.34 GiB) to fit into requested memory, or `--kv-cache-memory=68302635520` (63.61 GiB) to fully utilize gpu memory. Current kv cache memory in use is 50.62 GiB.
"""
# later: the peak holds the estimate, 254.49 - 171.25 - 36.74 = 46.50
DP_B300 = """
(Worker_DP0_EP0 pid=2) INFO 08-13 11:29:38 [gpu_model_runner.py:6806] Estimated CUDA graph memory: 33.06 GiB total
(Worker_DP0_EP0 pid=2) INFO 08-13 11:29:38 [gpu_worker.py:564] Available KV cache memory: 46.50 GiB
(Worker_DP0_EP0 pid=2) INFO 08-13 11:29:38 [gpu_worker.py:578] CUDA graph memory profiling is enabled (default since v0.21.0).
(EngineCore_DP0 pid=1) INFO 08-13 11:29:38 [kv_cache_utils.py:1882] GPU KV cache size: 394,633 tokens, Maximum concurrency for 10,240 tokens per request: 38.54x
(Worker_DP0_EP0 pid=2) INFO 08-13 11:31:42 [gpu_worker.py:790] Free memory on device (274.27/276.62 GiB) on startup. Desired GPU memory utilization is (0.92, 254.49 GiB). Actual usage is 171.25 GiB for consumed memory (weights + non-torch), 36.74 GiB for peak activation, and 8.57 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with `--kv-cache-memory=40574291354` (37.79 GiB) to fit into requested memory. Current kv cache memory in use is 46.5 GiB.
"""
V0_27_RTX_3090 = """
Model loading took 14.26 GiB memory and 17.888750 seconds
Available KV cache memory: 7.08 GiB
GPU KV cache size: 222,822 tokens, Maximum concurrency for 131,072 tokens per request: 1.70x
Free memory on device (23.05/23.56 GiB) on startup. Desired GPU memory utilization is (0.972, 22.9 GiB). Actual usage is 14.73 GiB for consumed memory (weights + non-torch), 1.09 GiB for peak activation, and 0.71 GiB for CUDAGraph memory.
"""
V0_29_DEBUG = """
INFO vLLM API server version 0.29.0
DEBUG Memory profiling takes 31.20 seconds. Total non KV cache memory: 63.53GiB; torch peak memory increase: 2.04GiB; total consumed (from mem_get_info): 61.49GiB; weights memory: 55.87GiB.
INFO Available KV cache memory: 8.57 GiB
"""


@pytest.mark.parametrize(
    ("lines", "blocks", "tokens", "concurrency", "longest", "first"),
    [
        (V0_6_3, 2153, None, 8.41, 4096, {"weights": 7.9324}),
        (
            V0_6_4_RTX_3090,
            1952,
            None,
            1.56,
            20_000,
            # the peak of all that is PyTorch's, less the weights: 17.06 - 14.9888
            {
                "total": 23.58,
                "weights": 14.9888,
                "activation": 2.0712,
                "non_torch": 0.35,
                "available": 3.81,
            },
        ),
        (
            V0_6_6,
            5102,
            None,
            9.96,
            8192,
            {
                "total": 23.67,
                "requested": 21.3,
                "weights": 15.5083,
                "activation": 1.16,
                "non_torch": 0.28,
                "available": 4.36,
            },
        ),
        (V0_7_V1, 1381, None, 10.79, 2048, {"weights": 67.7229}),
        (V0_8_5_L40S, None, 158_656, 4.84, 32_768, {"weights": 14.9889}),
        (
            V0_10_A100,
            9853,
            157_648,
            1.2,
            131_072,
            {"weights": 14.9889, "available": 19.25, "graphs": 0.52},
        ),
        (RTX_4090, None, 40_528, 4.05, 10_000, {"weights": 14.9889, "available": 4.95}),
        (
            V0_11_TP2_H200,
            7162,
            973_760,
            14.77,
            262_144,
            {
                "total": 139.81,
                "requested": 125.83,
                "weights": 74.2812,
                "activation": 5.58,
                "non_torch": 1.38,
                "graphs": 2.37,
                "available": 44.59,
            },
        ),
        (
            V0_19_H100_DEBUG,
            29_751,
            476_016,
            29.05,
            16_384,
            {
                "total": 79.19,
                "requested": 75.23,
                "weights": 14.99,
                "activation": 1.89,
                "non_torch": 0.25,
                "available": 58.11,
            },
        ),
        (
            V0_22,
            None,
            224_353,
            6.85,
            32_768,
            {"weights": 15.18, "graphs_estimated": 0.79, "graphs": 0.71, "available": 4.1},
        ),
        (
            V0_27_RTX_3090,
            None,
            222_822,
            1.7,
            131_072,
            # 14.73 - 14.26; how much of the 1.09 is graphs is not told
            {
                "total": 23.56,
                "requested": 22.9,
                "weights": 14.26,
                "activation": 1.09,
                "non_torch": 0.47,
                "available": 7.08,
            },
        ),
        (
            V0_29_DEBUG,
            None,
            None,
            None,
            None,
            {"weights": 55.87, "activation": 2.04, "non_torch": 5.62, "available": 8.57},
        ),
    ],
)
def test_figures_by_version(
    lines: str,
    *,
    blocks: int | None,
    tokens: int | None,
    concurrency: float | None,
    longest: int | None,
    first: dict[str, float],
) -> None:
    found = read(lines)
    assert (found.blocks, found.tokens, found.concurrency) == (blocks, tokens, concurrency)
    assert found.max_model_len == longest
    assert rank(found.ranks[0]) == first
    assert not found.silent


def test_our_own_recording_of_0_32_0_on_a_cpu() -> None:
    """273 blocks of 128 tokens; the flag is exact where the log rounds to 0.75 GiB."""
    found = memory_said((DATA / "start_0_32_0.txt").read_text().splitlines())
    assert (found.version, found.model, found.device) == ("0.32.0", "/models/smollm2", "cpu")
    assert (found.tensor, found.pipeline, found.eager) == (1, 1, True)
    assert (found.tokens, found.concurrency, found.blocks) == (273 * 128, 17.06, None)
    assert (found.max_model_len, found.max_num_seqs) == (2048, 8)
    assert [one.available for one in found.ranks] == [Said(768 * 2**20)]
    assert gib(found.checkpoint) == 0.25


def test_flags_of_an_h100_in_all_the_ways_they_are_told() -> None:
    found = read(V0_19_H100_DEBUG)
    assert found.version == "0.19.0"
    assert (found.max_num_seqs, found.max_num_batched_tokens) == (1024, 8192)
    assert found.gpu_memory_utilization == 0.95
    assert found.arguments["enable_prefix_caching"] is False


def test_version_model_and_layout() -> None:
    found = read(V0_8_5_PP2_RTX_5090)
    assert found.version == "0.8.5.dev169+gce17db808.d20250423"
    assert (found.tensor, found.pipeline, found.eager, found.device) == (1, 2, False, "gpu")
    assert found.max_model_len == 50_000  # what it was cut to, not the 60,000 that were asked for
    assert [gib(one.weights) for one in found.ranks] == [10.8, 10.3]
    assert [gib(one.available) for one in found.ranks] == [14.52, 14.26]
    assert read(V0_10_A100).version == "0.10.1.1"
    assert read(V0_29_DEBUG).version == "0.29.0"


def test_an_old_cpu_counts_its_blocks_first() -> None:
    found = read(V0_CPU)
    assert (found.blocks, found.device, found.ranks) == (9362, "cpu", ())


def test_ranks_are_told_apart_and_know_their_stage() -> None:
    found = read("""
(Worker_PP2 pid=2729459) INFO 09-25 00:15:14 [gpu_worker.py:298] Available KV cache memory: 18.22 GiB
(Worker_PP0 pid=2729457) INFO 09-25 00:15:14 [gpu_worker.py:298] Available KV cache memory: 18.02 GiB
(Worker_PP1 pid=2729458) INFO 09-25 00:15:14 [gpu_worker.py:298] Available KV cache memory: 18.25 GiB
(VllmWorker rank=3 pid=2728139) INFO 07-18 19:51:58 [gpu_worker.py:227] Available KV cache memory: 18.3 GiB
""")
    told = [(one.stage, one.ordinal, gib(one.available)) for one in found.ranks]
    assert told == [(2, None, 18.22), (0, None, 18.02), (1, None, 18.25), (None, 3, 18.3)]


def test_a_worker_that_gets_its_name_late_is_one_worker() -> None:
    found = read("""
(Worker pid=5922) INFO 06-17 04:09:25 [gpu_model_runner.py:5144] Model loading took 3.3 GiB memory and 1.0 seconds
(Worker_PP1_TP0 pid=5922) INFO 06-17 04:09:26 [gpu_worker.py:564] Available KV cache memory: 9.5 GiB
""")
    assert [(one.stage, rank(one)) for one in found.ranks] == [
        (1, {"weights": 3.3, "available": 9.5})
    ]


def test_each_worker_may_tell_its_own_cache_and_the_smallest_decides() -> None:
    found = read("""
INFO 09-25 00:15:15 [kv_cache_utils.py:864] GPU KV cache size: 324,496 tokens
INFO 09-25 00:15:15 [kv_cache_utils.py:868] Maximum concurrency for 32,768 tokens per request: 9.90x
INFO 09-25 00:15:15 [kv_cache_utils.py:864] GPU KV cache size: 320,000 tokens
INFO 09-25 00:15:15 [kv_cache_utils.py:868] Maximum concurrency for 32,768 tokens per request: 9.77x
""")
    assert (found.tokens, found.concurrency) == (320_000, 9.77)


def test_graphs_are_taken_out_of_the_peak_only_where_they_are_in_it() -> None:
    beside, within = read(TP4_B200).ranks[0], read(DP_B300).ranks[0]
    assert (gib(beside.activation), gib(beside.graphs_estimated)) == (6.31, 4.99)
    assert (gib(within.activation), gib(within.graphs_estimated)) == (3.68, 33.06)  # 36.74 - 33.06


def test_tokens_of_older_versions_are_of_one_group_only() -> None:
    """Qwen3-Next has 4 groups of 544-token blocks: 7162 // 4 * 544 = 973,760, not 14.77 requests."""
    assert read(V0_11_TP2_H200).tokens == 7162 // 4 * 544
    assert read(V0_11_TP2_H200).tokens_by_group
    for lines in (V0_22, V0_10_A100, RTX_4090, V0_19_H100_DEBUG, DP_B300, V0_6_6):
        assert not read(lines).tokens_by_group


def test_the_last_start_counts() -> None:
    began = "vLLM API server version 0.10.2\nnon-default args: {'max_num_seqs': 5}\n"
    assert read(V0_10_A100 + began).silent
    assert read(V0_10_A100 + V0_19_H100_DEBUG) == read(V0_19_H100_DEBUG)
    assert read(V0_19_H100_DEBUG + V0_8_5_PP2_RTX_5090) == read(V0_8_5_PP2_RTX_5090)
    # once it serves, an engine tells its arguments no more, and periodic lines change nothing
    later = (
        "INFO loggers.py: Running: 3 reqs, GPU KV cache usage: 12.5%, Prefix cache hit rate: 0.0%"
    )
    assert read(V0_22 + later) == read(V0_22)


def test_fixed_caches_of_a_gpu_and_a_cpu() -> None:
    gpu = read("""
(EngineCore pid=9) INFO [gpu_worker.py:660] Initial free memory 78.68 GiB, reserved 20.0 GiB memory for KV Cache as specified by kv_cache_memory_bytes config and skipped memory profiling.
""")
    cpu = read(
        "(Worker pid=7) INFO [cpu_worker.py:260] Auto set (3.25/15.6) GiB for KV cache on node 0"
    )
    assert [gib(one.ranks[0].available) for one in (gpu, cpu)] == [20.0, 3.25]


def test_arguments_are_numbers_and_switches_and_never_secrets() -> None:
    text = "{'api_key': ['sk-1'], 'host': '::', 'max_num_seqs': 8, 'enforce_eager': True, 'dtype': 'half'}"
    assert arguments(text) == {"max_num_seqs": 8, "enforce_eager": True, "dtype": "half"}
    # an object makes it no literal; what is inside of one is not the engine's own argument
    text = (
        "{'compilation_config': CompilationConfig(mode=<Mode.NONE: 0>), 'speculative_config':"
        " {'max_model_len': 7}, 'gpu_memory_utilization': 0.8, 'api_key': 'sk-2', 'seed': -1}"
    )
    assert arguments(text) == {"gpu_memory_utilization": 0.8, "seed": -1}


def test_data_parallel_engines_do_not_tell_blocks_of_one() -> None:
    config = "LLM engine (v0.19.0) with config: model='m', data_parallel_size=2,\n"
    blocks = "Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 8000"
    assert read(config + blocks).blocks is None


def test_rounding_is_half_of_the_last_digit_written() -> None:
    assert said("14.9889") == Said(16_094_208_826, 53_687)
    assert said("4.1") == Said(4_402_341_478, 5_368_709)  # vLLM writes 4.10 so
    assert said("-0.12").bytes < 0


@pytest.mark.parametrize("lines", ["", "hello", "INFO KV cache"])
def test_nothing_said(lines: str) -> None:
    assert read(lines).silent
    assert read(lines) == MemorySaid()


WORDS = st.sampled_from(
    [*V0_19_H100_DEBUG.split(), *DP_B300.split(), "{'a':", "(Worker", ")", "\n"]
)


@given(st.lists(WORDS, max_size=40))
def test_any_log_is_survived(words: list[str]) -> None:
    read(" ".join(words))
