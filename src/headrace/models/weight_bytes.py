"""What a model's weights take in memory, exact from its files or by formula for a quantization."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """Bytes of the whole model in an engine's memory, before it is split over accelerators.

    `active` is what one token's computation reads: for a mixture of experts less than `total`.
    `scheme` is the quantization (`bf16`, `fp8`, …), `basis` says where the bytes are from.
    """

    total: int
    active: int
    scheme: str
    exact: bool
    basis: str
