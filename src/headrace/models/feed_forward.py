"""Feed-forward parts of a model: dense layers, and layers with experts behind a router."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.models.architecture import Experts
from headrace.models.config_keys import MOST_LAYERS, Keys
from headrace.models.families import Family

_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class SparseLayer:
    """Values of one layer with experts; `router` is what quantization leaves alone."""

    total: int
    active: int
    router: int


def read_experts(keys: Keys, family: Family) -> Experts | None:
    """Return how many experts there are, None for a dense model."""
    if not (count := _count(keys, family)):
        return None
    shared = keys.size("n_shared_experts") or int(bool(_shared_width(keys, family)))
    return Experts(count, keys.count("num_experts_per_tok", most=count), shared)


def sparse_layers(keys: Keys, family: Family) -> int:
    """Count the layers that have experts."""
    layers = range(keys.count("num_hidden_layers", most=MOST_LAYERS))
    if not _count(keys, family):
        return 0
    if (written := keys.numbers("moe_layers")) is not None:  # Llama 4
        return len(set(written) & set(layers))
    dense = set(keys.numbers("mlp_only_layers") or ())
    first, every = keys.size("first_k_dense_replace"), keys.count("moe_layer_freq", 1)
    step = keys.count("decoder_sparse_step", 1) * keys.count("interleave_moe_layer_step", 1)
    period, offset = keys.count("expert_layer_period", 1), keys.size("expert_layer_offset")
    return sum(
        layer not in dense
        and layer >= first
        and layer % every == 0
        and (layer + 1) % step == 0
        and layer % period == offset
        for layer in layers
    )


def dense_layer(keys: Keys, family: Family) -> int:
    """Values of one dense layer: gate, up and down."""
    hidden, width = keys.count("hidden_size"), keys.count(family.dense)
    return 3 * hidden * width + (2 * width + hidden if keys.flag("mlp_bias") else 0)


def sparse_layer(keys: Keys, family: Family) -> SparseLayer:
    """Values of one layer with experts."""
    hidden, count = keys.count("hidden_size"), _count(keys, family)
    width = keys.count("moe_intermediate_size", keys.count("intermediate_size"))
    expert, biases = 3 * hidden * width, 2 * width + hidden if family.sinks else 0
    router = hidden * count + (count if family.sinks or family.corrected else 0)
    if family.shared == "shared_expert_intermediate_size":
        router += hidden  # how much of the shared expert to take
    shared = 3 * hidden * _shared_width(keys, family)
    active = keys.count("num_experts_per_tok", most=count)
    return SparseLayer(
        total=count * (expert + biases) + shared + router,
        active=active * (expert + biases) + shared + router,
        router=router + count * biases,
    )


def _count(keys: Keys, family: Family) -> int:
    count = next((size for name in _COUNTS if (size := keys.size(name))), 0)
    return count if family.moe and count > 1 else 0  # one expert is how Jamba writes a dense layer


def _shared_width(keys: Keys, family: Family) -> int:
    if family.shared is not None:
        return keys.size(family.shared)
    return keys.size("n_shared_experts") * keys.size("moe_intermediate_size")
