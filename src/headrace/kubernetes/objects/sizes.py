"""Bytes and cores that a Pod asks for: shared memory, host memory, CPU, disks for weights.

None of these is the GPU's memory, which the plan is about; too little of them kills an engine that
the plan says would fit.
"""

from __future__ import annotations

import math

from headrace.capacity.memory import replica_memory
from headrace.fleet.units import format_size
from headrace.kubernetes.objects.workload import Workload

GIB = 2**30
MIB = 2**20
SHM_BASE, SHM_RANK = GIB, 2 * GIB
"""Shared memory: for the engine's own queues, and for NCCL's rings of each rank of the Pod."""
HOST_BASE, HOST_RANK = 8 * GIB, 8 * GIB
"""Host memory beside a GPU: the server and its tokenizers; each rank's Python, CUDA and pinned
buffers. An allowance, not a measurement: the Pod's working set is in `headrace status`."""
SPARE = 1.25
"""Of a CPU replica's computed memory."""
CPU_BASE, CPU_RANK = 2, 2
TWIN = 512 * MIB
VERSIONS = 2
"""Weights that a volume has room for: a rollout to new ones needs the old ones beside them."""
MARGIN = 1.1


def gib(size: float) -> str:
    """Write bytes as Kubernetes does, rounded up to whole GiB (below one GiB: MiB)."""
    return f"{math.ceil(size / MIB)}Mi" if size < GIB else f"{math.ceil(size / GIB)}Gi"


def shm(work: Workload) -> tuple[int, str]:
    """Return the bytes of /dev/shm for the ranks of one Pod, and why."""
    size = SHM_BASE + (SHM_RANK * work.ranks if work.ranks > 1 else SHM_RANK // 2)
    if work.ranks == 1:
        why = "one rank: the engine's processes talk through it"
    else:
        why = f"{work.ranks} ranks talk through it: {gib(SHM_BASE)} and {gib(SHM_RANK)} for each"
    return size, f"{why}; a runtime's own 64 MiB break NCCL. What is written counts as memory"


def memory(work: Workload, shm_size: int) -> tuple[str, str]:
    """Return the host memory of one Pod's engine, and why."""
    if work.hardware.kind == "emulated":
        return gib(TWIN), "an engine twin; no weights"
    if work.hardware.kind == "cpu":
        weights = work.weights.size if work.weights else 0
        kv, ranks = work.deployment.kv_cache or 0, work.deployment.tensor_parallel
        need = replica_memory(weights, kv, ranks)
        why = (
            f"weights, KV cache and processes of a CPU replica: {format_size(need)}, and a quarter"
        )
        return gib(need * SPARE + shm_size), why
    size = HOST_BASE + HOST_RANK * work.ranks + shm_size
    why = (
        f"{gib(HOST_BASE)} for the server, {gib(HOST_RANK)} for each of {work.ranks} ranks,"
        f" {gib(shm_size)} of /dev/shm; the page cache of the weights is beside it and may go"
    )
    return gib(size), why


def cpu(work: Workload) -> int | None:
    """Return the cores of one Pod's engine; None: as many as there are."""
    if work.hardware.kind == "cpu":
        return work.hardware.cores
    if work.hardware.kind == "emulated":
        return 1
    return CPU_BASE + CPU_RANK * work.ranks


def weights_volume(size: int) -> tuple[str, str]:
    """Return the size of a volume for so many bytes of weights, and why."""
    why = (
        f"{format_size(size)} of weights, twice: while new ones come the old ones still serve;"
        " and a tenth"
    )
    return gib(max(GIB, size * VERSIONS * MARGIN)), why
