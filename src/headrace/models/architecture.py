"""What a model is made of, as far as memory and speed depend on it: layers, parameters, context.

`read_architecture.py` makes one from a config.json, `catalogue.py` has those of well-known models;
`weight_bytes.py` says what the parameters weigh. `capacity` does its arithmetic on these types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AttentionKind = Literal["full", "sliding", "chunked", "mla", "state"]
"""What a layer keeps of the past: all of it, a window, a chunk, one compressed vector a token for
all heads (MLA), or a state of fixed size (Mamba, linear attention)."""


@dataclass(frozen=True)
class Attention:
    """`layers` layers that keep the same in the KV cache.

    Sizes are of one head in values: `head_size` for keys, `head_size_v` for values. MLA has one
    head of kv_lora_rank + qk_rope_head_dim values and no values of its own (0). `window` is in
    tokens, for sliding and chunked layers. A state layer keeps `state_bytes` for each request.
    """

    kind: AttentionKind
    layers: int
    kv_heads: int
    head_size: int
    head_size_v: int
    window: int | None = None
    state_bytes: int = 0


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: `active` of `count` are used for a token, and `shared` for each."""

    count: int
    active: int
    shared: int = 0


@dataclass(frozen=True)
class Parameters:
    """Counts of values by part; `head` is 0 where the output shares the embedding (tied)."""

    embedding: int
    attention: int
    dense: int
    experts: int
    norms: int
    head: int
    active_experts: int
    """Of the experts, those that one token uses, routers and shared ones included."""
    biases: int = 0
    """Of attention: biases, convolutions and the like, which quantization leaves as they are."""
    routers: int = 0
    """Of the experts: routers and biases, which quantization leaves as they are."""

    @property
    def total(self) -> int:
        """All parameters."""
        return self.outside + self.matrices + self.norms

    @property
    def matrices(self) -> int:
        """Attention, dense layers, experts."""
        return self.attention + self.dense + self.experts

    @property
    def quantizable(self) -> int:
        """What quantization makes smaller."""
        return self.matrices - self.biases - self.routers

    @property
    def outside(self) -> int:
        """Embedding and output head, which most quantized checkpoints leave as they are."""
        return self.embedding + self.head

    @property
    def active(self) -> int:
        """What one token is computed with; an embedding is only looked up, unless it is tied."""
        head = self.head or self.embedding
        return head + self.attention + self.dense + self.active_experts + self.norms


@dataclass(frozen=True)
class Architecture:
    """One model; `context` in tokens, `dtype` as config.json names it (`bfloat16`)."""

    name: str
    """As config.json has it under `architectures`."""
    attention: tuple[Attention, ...]
    hidden: int
    heads: int
    vocab: int
    context: int
    dtype: str
    parameters: Parameters
    experts: Experts | None = None
    quantization: str | None = None
    """As its own config.json says it is stored: `fp8`, `awq`, `gptq`, `mxfp4`, …"""
    multimodal: bool = False
    """It reads images too; its vision part is not in `parameters`."""

    @property
    def layers(self) -> int:
        """All layers, those without a KV cache too."""
        return sum(one.layers for one in self.attention)
