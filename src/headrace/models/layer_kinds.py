"""What each layer keeps of the past, from the several ways in which a config.json says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from headrace.models.architecture import Attention, AttentionKind
from headrace.models.config_keys import MOST_LAYERS, Keys
from headrace.models.errors import FormatError, UnknownError
from headrace.models.families import Every, Family
from headrace.models.state_layers import state_bytes

_WORDS: dict[str, AttentionKind] = {
    "full_attention": "full",
    "attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "state",
    "mamba": "state",
}


def attention_layers(keys: Keys, family: Family) -> tuple[Attention, ...]:
    """Group the layers by what they keep, in the order of their first."""
    kinds = Counter(layer_kinds(keys, family))
    return tuple(_attention(keys, family, kind, count) for kind, count in kinds.items())


def layer_kinds(keys: Keys, family: Family) -> Iterator[AttentionKind]:
    """Yield the kind of each layer; a window of no size is none."""
    windows = {"sliding": _window(keys), "chunked": keys.optional("attention_chunk_size")}
    for kind in _written(keys) or _pattern(keys, family):
        if windows.get(kind, 1) is None:
            kind = "full"  # noqa: PLW2901 - the rest of the loop is about what the layer really does
        yield "mla" if family.latent and kind == "full" else kind


def head_size(keys: Keys) -> int:
    """Values of one attention head."""
    return keys.count("head_dim", keys.count("hidden_size") // keys.count("num_attention_heads"))


def kv_heads(keys: Keys) -> int:
    """Heads of keys and values."""
    return keys.count("num_key_value_heads", keys.count("num_attention_heads"))


def _written(keys: Keys) -> list[AttentionKind] | None:
    words = keys.words("layer_types", keys.count("num_hidden_layers", most=MOST_LAYERS))
    if unknown := sorted(set(words or ()) - set(_WORDS)):
        raise UnknownError(
            f"config.json: layer_types names {unknown[0][:60]!r}; known are {', '.join(_WORDS)}"
        )
    return [_WORDS[word] for word in words] if words else None


def _pattern(keys: Keys, family: Family) -> list[AttentionKind]:
    layers = range(keys.count("num_hidden_layers", most=MOST_LAYERS))
    match family.pattern:
        case Every() as every:
            return _every(keys, every, len(layers))
        case "all":
            return ["sliding" for _ in layers]
        case "upper":
            first = (
                keys.size("max_window_layers") if keys.flag("use_sliding_window") else len(layers)
            )
            return ["sliding" if layer >= first else "full" for layer in layers]
        case "period":
            period, offset = keys.count("attn_layer_period", 8), keys.size("attn_layer_offset")
            return ["full" if layer % period == offset else "state" for layer in layers]
        case None if family.state is not None:
            raise FormatError("config.json: layer_types must list which layers keep a state")
        case None:
            return ["full" for _ in layers]


def _every(keys: Keys, every: Every, layers: int) -> list[AttentionKind]:
    # Llama 4 says it layer by layer: 1 where positions are rotated, and only those are chunked.
    rotated = keys.numbers("no_rope_layers", layers) if every.kind == "chunked" else None
    step = keys.count(every.key, every.default)
    between = rotated or [(layer + 1) % step for layer in range(layers)]
    return [every.kind if one else "full" for one in between]


def _window(keys: Keys) -> int | None:
    return (
        keys.optional("sliding_window") if keys.flag("use_sliding_window", default=True) else None
    )


def _attention(keys: Keys, family: Family, kind: AttentionKind, layers: int) -> Attention:
    if kind == "state":
        return Attention(kind, layers, 0, 0, 0, state_bytes=state_bytes(keys, family))
    if kind == "mla":
        size = keys.count("kv_lora_rank") + keys.count("qk_rope_head_dim")
        return Attention(kind, layers, 1, size, 0)
    window = {"sliding": _window(keys), "chunked": keys.optional("attention_chunk_size")}.get(kind)
    size = head_size(keys)
    return Attention(kind, layers, kv_heads(keys), size, size, window)
