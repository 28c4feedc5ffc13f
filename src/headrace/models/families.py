"""Families of models: what their code fixes and their config.json therefore does not say.

One line for each `model_type`, checked against the parameter counts of published checkpoints and of
the reference implementation. `read_architecture.py` finds the family; a model whose family is not
here is said to be unknown, because a guess of its memory would look like knowledge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headrace.models.architecture import AttentionKind


@dataclass(frozen=True)
class Every:
    """Every n-th layer attends to everything, n under `key`; those between are of `kind`."""

    key: str
    default: int
    kind: AttentionKind


@dataclass(frozen=True)
class Family:
    """Models that share one implementation.

    `norms` are vectors of the hidden size in each layer. `bias` says which projections
    `attention_bias` stands for. `qk_norm` is over one head, or over all of them together. `pattern`
    says which layers attend to what, where no `layer_types` does: every n-th to everything; `all`
    to a window if there is one; `upper` those from max_window_layers on; `period` as Jamba counts.
    """

    architectures: tuple[str, ...]
    norms: int = 2
    bias: Literal["qkv", "qkvo"] = "qkvo"
    qk_norm: Literal["head", "all"] | None = None
    pattern: Every | Literal["all", "upper", "period"] | None = None
    moe: bool = False
    dense: str = "intermediate_size"
    """The key of a dense layer's width."""
    shared: str | None = None
    """The key of a shared expert's width; else there are n_shared_experts like the others."""
    latent: bool = False
    """Multi-head latent attention (MLA)."""
    state: Literal["mamba1", "mamba2", "delta"] | None = None
    sinks: bool = False
    """One learned value for each head, and biases in router and experts (gpt-oss)."""
    corrected: bool = False
    """The router has a bias for each expert, to correct its choice (DeepSeek-V3)."""
    gated: bool = False
    """The query projection also makes a gate, and is twice as wide."""
    prescaled: bool = False
    """max_position_embeddings already counts the scaling of positions in."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of keys that the family's files leave out."""


_TIED = {"tie_word_embeddings": True}
_GEMMA3 = {
    **_TIED, "vocab_size": 262_208, "max_position_embeddings": 131_072, "head_dim": 256,
    "num_attention_heads": 8, "num_key_value_heads": 4,
}  # fmt: skip

FAMILIES: Mapping[str, Family] = {
    "llama": Family(("LlamaForCausalLM",)),
    "smollm3": Family(("SmolLM3ForCausalLM",), defaults=_TIED),
    "mistral": Family(("MistralForCausalLM",), pattern="all"),
    "phi3": Family(("Phi3ForCausalLM",), pattern="all"),
    "granite": Family(("GraniteForCausalLM",)),
    "olmo2": Family(("Olmo2ForCausalLM",), qk_norm="all"),
    "qwen2": Family(
        ("Qwen2ForCausalLM",), bias="qkv", pattern="upper", defaults={"attention_bias": True}
    ),
    "qwen3": Family(("Qwen3ForCausalLM",), qk_norm="head", pattern="upper"),
    "gemma2": Family(
        ("Gemma2ForCausalLM",), norms=4, pattern=Every("sliding_window_pattern", 2, "sliding"),
        defaults={**_TIED, "head_dim": 256},
    ),
    "gemma3": Family(
        ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"), norms=4, qk_norm="head",
        pattern=Every("sliding_window_pattern", 6, "sliding"), prescaled=True, defaults=_GEMMA3,
    ),
    "cohere2": Family(
        ("Cohere2ForCausalLM",), norms=1, defaults=_TIED,
        pattern=Every("sliding_window_pattern", 4, "sliding"),
    ),
    "mixtral": Family(("MixtralForCausalLM",), pattern="all", moe=True),
    "qwen2_moe": Family(
        ("Qwen2MoeForCausalLM",), bias="qkv", pattern="upper", moe=True,
        shared="shared_expert_intermediate_size", defaults={"attention_bias": True},
    ),
    "qwen3_moe": Family(("Qwen3MoeForCausalLM",), qk_norm="head", pattern="upper", moe=True),
    "glm4_moe": Family(
        ("Glm4MoeForCausalLM",), bias="qkv", qk_norm="head", moe=True, corrected=True,
        defaults={"use_qk_norm": False},
    ),
    "gpt_oss": Family(
        ("GptOssForCausalLM",), pattern=Every("sliding_window_pattern", 2, "sliding"), moe=True,
        sinks=True, defaults={"attention_bias": True},
    ),
    "deepseek_v2": Family(("DeepseekV2ForCausalLM",), moe=True, latent=True),
    "deepseek_v3": Family(("DeepseekV3ForCausalLM",), moe=True, latent=True, corrected=True),
    "llama4": Family(
        ("Llama4ForCausalLM", "Llama4ForConditionalGeneration"), moe=True,
        dense="intermediate_size_mlp", shared="intermediate_size",
        pattern=Every("no_rope_layer_interval", 4, "chunked"),
    ),
    "jamba": Family(("JambaForCausalLM",), pattern="period", moe=True, state="mamba1"),
    "granitemoehybrid": Family(
        ("GraniteMoeHybridForCausalLM",), moe=True, state="mamba2",
        dense="shared_intermediate_size", shared="shared_intermediate_size",
    ),
    "qwen3_next": Family(
        ("Qwen3NextForCausalLM",), qk_norm="head", moe=True, state="delta", gated=True,
        shared="shared_expert_intermediate_size",
        pattern=Every("full_attention_interval", 4, "state"),
    ),
}  # fmt: skip
