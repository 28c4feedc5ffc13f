"""Layers that keep a state of fixed size instead of a KV cache: Mamba, Mamba 2, gated delta net.

Shapes of the states are those of vLLM 0.32 (v1/kv_cache_interface.py counts their bytes for each
request): a convolution's last inputs, and the recurrent state.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.models.config_keys import Keys
from headrace.models.errors import FormatError
from headrace.models.families import Family

VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class StateLayer:
    """Counts of values in one layer: its parameters, those of them in big matrices, its states."""

    parameters: int
    matrices: int
    convolution: int
    recurrent: int


def state_layer(keys: Keys, family: Family) -> StateLayer:
    """Return the counts of a family's state layer."""
    match family.state:
        case "mamba1":
            return _mamba1(keys)
        case "mamba2":
            return _mamba2(keys)
        case "delta":
            return _delta(keys)
        case None:
            raise FormatError(
                f"config.json: layer_types has state layers; {family.architectures[0]} has none"
            )


def state_bytes(keys: Keys, family: Family) -> int:
    """Bytes that one layer keeps of one request; the recurrent state may have its own dtype."""
    layer = state_layer(keys, family)
    model = _value_bytes(keys, "dtype", _value_bytes(keys, "torch_dtype", 2))
    own = _value_bytes(keys, "mamba_ssm_cache_dtype", _value_bytes(keys, "mamba_ssm_dtype", model))
    return layer.convolution * model + layer.recurrent * own


def _value_bytes(keys: Keys, key: str, default: int) -> int:
    value = keys.get(key)
    return VALUE_BYTES.get(value, default) if isinstance(value, str) else default


def _mamba1(keys: Keys) -> StateLayer:
    hidden, state = keys.count("hidden_size"), keys.count("mamba_d_state", 16)
    inner, kernel = keys.count("mamba_expand", 2) * hidden, keys.count("mamba_d_conv", 4)
    auto = keys.get("mamba_dt_rank") in (None, "auto")
    rank = -(-hidden // 16) if auto else keys.count("mamba_dt_rank")
    matrices = hidden * 2 * inner + inner * (rank + 2 * state) + rank * inner + inner * hidden
    norms = rank + 2 * state
    own = inner * kernel + inner + inner * state + inner + inner + norms  # conv, A, D, dt, norms
    return StateLayer(matrices + own, matrices, inner * (kernel - 1), inner * state)


def _mamba2(keys: Keys) -> StateLayer:
    hidden, heads = keys.count("hidden_size"), keys.count("mamba_n_heads")
    inner, kernel = keys.count("mamba_expand", 2) * hidden, keys.count("mamba_d_conv", 4)
    state = keys.count("mamba_d_state")
    channels = inner + 2 * keys.count("mamba_n_groups", 1) * state
    matrices = hidden * (inner + channels + heads) + inner * hidden
    own = channels * kernel + channels + 3 * heads + inner  # convolution, dt, A and D, norm
    return StateLayer(matrices + own, matrices, channels * (kernel - 1), inner * state)


def _delta(keys: Keys) -> StateLayer:
    hidden, kernel = keys.count("hidden_size"), keys.count("linear_conv_kernel_dim", 4)
    heads, size = keys.count("linear_num_value_heads"), keys.count("linear_value_head_dim")
    key_size = keys.count("linear_key_head_dim")
    key, value = keys.count("linear_num_key_heads") * key_size, heads * size
    channels = 2 * key + value
    matrices = hidden * (2 * key + 2 * value) + hidden * 2 * heads + value * hidden
    own = channels * kernel + 2 * heads + size  # convolution, dt and A, norm
    return StateLayer(matrices + own, matrices, channels * (kernel - 1), heads * size * key_size)
