"""Parameters of a model by part, to the parameter, from its sizes.

Layers that only guess tokens ahead (MTP) are left out: an engine does not load them by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.models.architecture import Parameters
from headrace.models.config_keys import MOST_LAYERS, Keys
from headrace.models.families import Family
from headrace.models.feed_forward import SparseLayer, dense_layer, sparse_layer, sparse_layers
from headrace.models.layer_kinds import head_size, kv_heads, layer_kinds
from headrace.models.state_layers import state_layer


@dataclass(frozen=True)
class _Layers:
    """Values of one layer, or of all layers of a kind: those in matrices, and others."""

    matrices: int
    plain: int = 0
    norms: int = 0

    def __mul__(self, count: int) -> _Layers:
        return _Layers(self.matrices * count, self.plain * count, self.norms * count)


def count_parameters(keys: Keys, family: Family) -> Parameters:
    """Return the counts of the text model."""
    hidden, layers = keys.count("hidden_size"), keys.count("num_hidden_layers", most=MOST_LAYERS)
    embedding = keys.count("vocab_size") * hidden
    sparse, states = (
        sparse_layers(keys, family),
        sum(k == "state" for k in layer_kinds(keys, family)),
    )
    one = sparse_layer(keys, family) if sparse else SparseLayer(0, 0, 0)
    state = _state(keys, family) * states if states else _Layers(0)
    attends = _attention(keys, family) * (layers - states)
    return Parameters(
        embedding=embedding,
        attention=attends.matrices + attends.plain + state.matrices + state.plain,
        dense=(layers - sparse) * dense_layer(keys, family) if layers > sparse else 0,
        experts=sparse * one.total,
        norms=(layers * family.norms + 1) * hidden + attends.norms,
        head=0 if keys.flag("tie_word_embeddings") else embedding,
        active_experts=sparse * one.active,
        biases=attends.plain + state.plain,
        routers=sparse * one.router,
    )


def _state(keys: Keys, family: Family) -> _Layers:
    layer = state_layer(keys, family)
    return _Layers(layer.matrices, layer.parameters - layer.matrices)


def _attention(keys: Keys, family: Family) -> _Layers:
    if family.latent:
        return _latent(keys)
    hidden, size, heads = (
        keys.count("hidden_size"),
        head_size(keys),
        keys.count("num_attention_heads"),
    )
    query, key = heads * size, kv_heads(keys) * size
    projected = query * (2 if family.gated else 1) + 2 * key
    biases = projected + (hidden if family.bias == "qkvo" else 0)
    plain = (biases if keys.flag("attention_bias") else 0) + (heads if family.sinks else 0)
    norms = {"head": 2 * size, "all": query + key, None: 0}[family.qk_norm]
    normed = keys.flag("use_qk_norm", default=True)
    return _Layers(hidden * (projected + query), plain, norms if normed else 0)


def _latent(keys: Keys) -> _Layers:
    """Count queries, keys and values through narrow matrices (DeepSeek-V2, arXiv:2405.04434)."""
    hidden, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    own, rope = keys.count("qk_nope_head_dim"), keys.count("qk_rope_head_dim")
    value, rank = keys.count("v_head_dim"), keys.count("kv_lora_rank")
    queries, query_rank = heads * (own + rope), keys.optional("q_lora_rank")
    query = query_rank * (hidden + queries) if query_rank else hidden * queries
    keys_values = hidden * (rank + rope) + rank * heads * (own + value)
    return _Layers(query + keys_values + heads * value * hidden, 0, rank + (query_rank or 0))
