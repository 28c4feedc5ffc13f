"""What an accelerator offers: memory, bandwidth, compute, links; `catalogue.py` has the known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16", "fp8", "int8", "fp4"]


@dataclass(frozen=True)
class Link:
    """How accelerators talk: bytes a second that one of them can send, one direction."""

    name: str
    bandwidth: float
    latency: float = 5e-6
    """Seconds that a message takes besides its bytes."""


@dataclass(frozen=True)
class Accelerator:
    """One product. Figures are the data sheet's, dense (no sparsity); `sources` say whose.

    `memory` is what a process sees in bytes (`cudaMemGetInfo`), a little less than the data sheet
    says; `bandwidth` in bytes a second; `compute` in operations a second by precision: what is not
    named has no hardware for it, and runs as bf16 does.
    """

    name: str
    memory: int
    bandwidth: float
    compute: Mapping[Precision, float]
    link: Link
    """Inside a node."""
    network: Link
    """Between nodes, for each accelerator."""
    per_node: int
    """Accelerators in a usual node."""
    sources: tuple[str, ...]
    names: tuple[str, ...] = ()
    """Other names: as Kubernetes labels the product (`NVIDIA-H100-80GB-HBM3`), as people write."""
    kind: Literal["gpu", "cpu"] = "gpu"
    memory_exact: bool = True
    """False: not read from a device but the data sheet's, less 1.5 %."""
    notes: tuple[str, ...] = ()
    """What to know about the figures, one sentence each."""
