"""Host memory of a replica on a CPU: weights, KV cache, and what the processes take besides.

Measured with vLLM 0.32.0 and SmolLM2 (269 MB of weights) at 1 GiB of KV cache: 3.19 GB PSS over
all processes after some dozens of requests, so 1,760 MiB besides: API server and engine core some
550 MiB each, the rest libraries and buffers of the worker. The KV cache is touched in full at
start.
"""

from __future__ import annotations

MIB = 2**20

PROCESS_OVERHEAD = 2000 * MIB
"""Bytes that API server, engine core and one worker take beside weights and cache."""
RANK_OVERHEAD = 700 * MIB
"""Bytes that each further worker takes."""


def replica_memory(weight_bytes: int, kv_bytes: int, ranks: int = 1) -> int:
    """Return bytes of host memory that a CPU replica needs once it serves.

    `kv_bytes` is the whole replica's; weights are split over ranks, up to the small replicated
    parts.
    """
    return weight_bytes + kv_bytes + PROCESS_OVERHEAD + (ranks - 1) * RANK_OVERHEAD
